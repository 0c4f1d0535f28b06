"""The user's network: created by its factory, loaded with weights, and tested with one forward pass."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgeprune.config.setting_types import is_onnx_file
from edgeprune.errors import ModelError
from edgeprune.model import weights
from edgeprune.model.eval_mode import eval_mode
from edgeprune.model.module_wrappers import unwrap
from edgeprune.model.seeding import generator, seeded
from edgeprune.model.user_code_guard import user_code
from edgeprune.model.user_objects import load_object


def load_model(
    factory: str, weights_path: Path | None, *, base: Path, shape: Sequence[int] | None = None, seed: int = 0
) -> nn.Module:
    """Build the network that ``factory`` names; otherwise like ``build``.

    Args:
        factory: Name of a function, see ``user_objects.load_object``, or path of an ONNX file, see
            ``edgeprune.load_onnx``.
        weights_path: Weights file; None for those of the factory or of the ONNX file.
        base: Folder that file names are relative to.
        shape: Shape of the input with the batch first, for an ONNX file with dynamic sizes.
        seed: Seed of random initial weights.
    """
    if is_onnx_file(factory):
        # By name, as a package above this one that only networks from ONNX files need. Its code is part of the digest
        # of their inputs (``pipeline.onnx_inputs``), so that no stage of other networks depends on it.
        load_onnx = importlib.import_module("edgeprune.onnx_import").load_onnx
        return build(lambda: load_onnx(base / factory, shape=shape), weights_path, seed=seed, name=factory)
    return build(load_object(factory, base=base, error=ModelError), weights_path, seed=seed, name=factory)


def build(
    factory: Callable[[], nn.Module], weights_path: Path | None = None, *, seed: int = 0, name: str = "the factory"
) -> nn.Module:
    """Call ``factory`` without arguments and load ``weights_path`` into the network.

    Args:
        factory: Function that returns the network, or its class.
        weights_path: Weights file, see ``weights.read``. None: the weights of the factory.
        seed: Seed of random initial weights.
        name: Name of the factory in messages.

    Returns:
        The network in eval mode, without parallel or compiled wrappers.

    Raises:
        ModelError: The factory cannot be called, fails, or does not return an ``nn.Module`` with parameters.
        WeightsError: The weights cannot be read or do not fit.
    """
    if not callable(factory):
        raise ModelError(f"{name}: expected a factory, a function without arguments, got {type(factory).__name__}")
    with user_code(f"{name} fails when called without arguments", ModelError), seeded(seed):
        model = factory()
    if not isinstance(model, nn.Module):
        raise ModelError(f"{name} must return a torch.nn.Module, got {type(model).__name__}")
    model = unwrap(model)
    if next(model.parameters(), None) is None:
        raise ModelError(f"{name} must return a network with parameters, got {type(model).__name__} without parameters")
    if weights_path is not None:
        weights.load_into(model, weights_path)
    return model.eval()


def example_inputs(shape: tuple[int, ...], seed: int = 0) -> tuple[Tensor, ...]:
    """Return one standard normal float32 tensor of ``shape`` (batch first), in a tuple of forward arguments."""
    return (torch.randn(shape, generator=generator(seed)),)


def check_forward(model: nn.Module, example: tuple[Tensor, ...]) -> Any:
    """Run ``model`` in eval mode on ``example`` and return its output.

    Raises:
        ModelError: The forward fails, or its output is not finite.
    """
    shapes = ", ".join(str(tuple(tensor.shape)) for tensor in example)
    failure = f"{type(model).__name__}.forward fails on an example input of shape {shapes}"
    advice = "; the shape is set by model.input (--input), batch first"
    with user_code(failure, ModelError, advice=advice), eval_mode(model), torch.no_grad():
        outputs = model(*example)
    if isinstance(outputs, Tensor) and not bool(torch.isfinite(outputs).all()):
        raise ModelError(
            f"{type(model).__name__} must return finite values, but returns NaN or infinity for an example of shape "
            f"{shapes}"
        )
    return outputs
