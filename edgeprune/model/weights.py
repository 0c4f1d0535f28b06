"""Weights files: safe reading without running code, loading into a module, and reproducible writing."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from edgeprune.errors import WeightsError
from edgeprune.files import write_atomic
from edgeprune.model.module_wrappers import COMPONENTS

_PICKLED = (".pt", ".pth", ".bin", ".ckpt")
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_AVERAGES = "n_averaged"  # counter in a state dict of torch.optim.swa_utils.AveragedModel
_SHOWN = 5


def read(path: Path) -> dict[str, Tensor]:
    """Read a state dict from ``.safetensors``, or from a ``.pt``/``.pth`` with only tensors and plain containers.

    A checkpoint with the key ``state_dict``, ``model_state_dict`` or ``model`` is unwrapped. Tensors are on the CPU.

    Raises:
        WeightsError: The file does not exist, has another format, is damaged, or is a pickle that would run code.
    """
    if not path.is_file():
        raise WeightsError(f"cannot read {path}: the weights file does not exist")
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except (SafetensorError, OSError) as problem:
            raise WeightsError(f"{path} is not a valid safetensors file: {problem}") from problem
    if path.suffix not in _PICKLED:
        raise WeightsError(
            f"{path}: expected weights with the suffix {' or '.join(('.safetensors', *_PICKLED))}, got '{path.suffix}'"
        )
    return _state_dict(_unpickle(path), path)


def load_into(module: nn.Module, path: Path) -> None:
    """Load the weights in ``path`` into ``module``; every name and shape must fit.

    Raises:
        WeightsError: The file cannot be read (see ``read``), names or shapes differ from those of ``module`` (the
            message lists the first), or values are not finite. ``module`` is then unchanged.
    """
    fit(module, read(path), where=str(path))


def fit(module: nn.Module, state: Mapping[str, Tensor], *, where: str) -> None:
    """Load tensors into a network like ``load_into``; ``where`` names their origin in messages."""
    want = module.state_dict()
    state = _renamed(state, want)
    problems = [f"missing {name}" for name in want if name not in state and not name.endswith("num_batches_tracked")]
    problems += [f"unexpected {name}" for name in state if name not in want]
    problems += [
        f"{name}: expected the shape {tuple(tensor.shape)}, got {tuple(state[name].shape)}"
        for name, tensor in want.items()
        if name in state and state[name].shape != tensor.shape
    ]
    if problems:
        more = [f"... and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        listed = "\n  ".join(problems[:_SHOWN] + more)
        raise WeightsError(
            f"the weights in {where} do not fit the network ({len(problems)} of {len(want)} entries):\n  {listed}"
        )
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            raise WeightsError(
                f"{where}: all weights must be finite, but {bad} of {tensor.numel()} values of {name} are not"
            )
    module.load_state_dict(dict(state), strict=False)  # strictness is checked above, counters of old checkpoints aside


def save(state: Mapping[str, Tensor], path: Path) -> None:
    """Write ``state`` to ``path`` as safetensors: as a whole or not at all, the same bytes for the same values.

    A tensor that goes by several names (tied weights) is written under each of them.
    """
    own = {name: state[name].detach().cpu().contiguous().clone() for name in sorted(state)}
    write_atomic(path, safetensors.torch.save(own))


def _unpickle(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as problem:
        match = re.search(r"GLOBAL (\S+)", str(problem))
        if match is None:
            raise WeightsError(f"{path} is not a valid torch checkpoint of tensors") from problem
        code = (
            "import torch; from safetensors.torch import save_file; "
            f"c = torch.load('{path.name}', weights_only=False); c = c.get('state_dict', c.get('model', c)) "
            "if isinstance(c, dict) else c; s = c if isinstance(c, dict) else c.state_dict(); "
            f"save_file({{k: v.clone().contiguous() for k, v in s.items()}}, '{path.stem}.safetensors')"
        )
        raise WeightsError(
            f"{path} is not loaded: it needs {match[1]}, and a pickle with other objects can run any code. "
            f"If you trust the file, convert it in its folder, where its classes can be imported:\n"
            f'  python -c "{code}"'
        ) from problem
    except (RuntimeError, EOFError, OSError, ValueError) as problem:
        raise WeightsError(f"{path} is not a valid torch checkpoint: {problem}") from problem


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(content, Mapping):
        for key in _WRAPPERS:
            if isinstance(content.get(key), Mapping):
                content = content[key]
                break
        if content and all(isinstance(value, Tensor) for value in content.values()):
            return dict(content)
        others = [
            f"'{key}' ({type(value).__name__})" for key, value in content.items() if not isinstance(value, Tensor)
        ]
        actual = f"a dict with {', '.join(others[:_SHOWN])}" if others else "an empty dict"
    else:
        actual = type(content).__name__
    raise WeightsError(
        f"{path}: expected a state dict, got {actual}: save it with torch.save(model.state_dict(), path)"
    )


def _renamed(state: Mapping[str, Tensor], want: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """``state`` under the names in ``want``, where only parallel, averaged or compiled modules make a difference."""
    if _AVERAGES not in want:
        state = {name: tensor for name, tensor in state.items() if name != _AVERAGES}
    if all(name in want for name in state):
        return state
    names = {_without_wrappers(name): name for name in want}
    renamed = {names.get(_without_wrappers(name), _without_wrappers(name)): tensor for name, tensor in state.items()}
    return renamed if len(names) == len(want) and len(renamed) == len(state) else state


def _without_wrappers(name: str) -> str:
    """``name`` without the components that wrappers add."""
    return ".".join(part for part in name.split(".") if part not in COMPONENTS)
