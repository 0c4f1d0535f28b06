"""Training loss: cross entropy, a user-defined loss or step, and distillation from a teacher."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils import _pytree as pytree

from edgeprune.config import TrainingSettings
from edgeprune.errors import ModelError, RecipeError
from edgeprune.model.class_labels import IGNORED
from edgeprune.model.data import Split
from edgeprune.model.seeding import seeded
from edgeprune.model.user_code_guard import user_code
from edgeprune.model.user_objects import load_object
from edgeprune.training.distillation import Teacher
from edgeprune.training.evaluate import check, logits
from edgeprune.training.precision_and_layout import DEFAULT_EXECUTION, StepExecution

Step = Callable[[nn.Module, Any, Any], Any]
Metric = Callable[[Callable[..., Any], Any], float]


class Objective:
    """Scalar training loss of a batch.

    Args:
        settings: Training settings, of which ``loss``, ``step`` and ``label_smoothing`` are used.
        teacher: Teacher for distillation. None: the loss uses labels only.
        base: Folder that file names in the settings are relative to. Defaults to the working folder.

    Raises:
        RecipeError: The loss or step cannot be loaded or is not callable; both are given; or a teacher is combined
            with a user-defined step.
    """

    def __init__(self, settings: TrainingSettings, *, teacher: Teacher | None = None, base: Path | None = None) -> None:
        folder = base or Path.cwd()
        self.teacher = teacher
        self._smoothing = settings.label_smoothing
        self._step: Step | None = None
        self._loss: Callable[[Any, Any], Tensor] | None = None
        if settings.step is not None:
            if settings.loss is not None:
                raise RecipeError(
                    "training.loss: it must not be set together with training.step, which computes the loss: remove it"
                )
            self._step = callable_of(settings.step, "training.step", folder)
            if teacher is not None:
                raise RecipeError(
                    "training.step: distillation compares outputs, but your training step does not return them: set "
                    "training.distillation.weight = 0, or set training.loss instead"
                )
        if settings.loss is not None:
            self._loss = callable_of(settings.loss, "training.loss", folder)

    @property
    def is_default(self) -> bool:
        """Whether the loss is cross entropy with class labels, for which accuracy is defined."""
        return self._step is None and self._loss is None

    @property
    def has_custom_step(self) -> bool:
        """Whether the user's function computes the whole training step."""
        return self._step is not None

    def __call__(self, model: nn.Module, inputs: Any, labels: Any, execution: StepExecution) -> Tensor:
        """Return the mean loss of a batch, a float32 scalar.

        Raises:
            DataError: Labels are out of range, or inputs are not finite.
            ModelError: The user's loss or step fails, or does not return a scalar that depends on the network. By
                default: the network does not return one tensor (N, classes, ...).
        """
        if self._step is not None:
            inputs, labels = execution.moved(model, inputs), execution.moved(model, labels)
            with execution.autocast(model):
                return _learnable(_called(self._step, "training.step", model, inputs, labels), "training.step")
        outputs = execution.forward(model, inputs)
        if self._loss is not None:
            loss = _learnable(self.of_outputs(outputs, execution.moved(model, labels)), "training.loss")
        else:
            # Checked before the labels move to the device, because reading them from a GPU would wait for it.
            check(inputs, labels, logits(outputs).shape, where="training")
            has_valid = bool((labels != IGNORED).any())
            labels = execution.moved(model, labels)
            loss = _cross_entropy(outputs, labels, has_valid=has_valid, smoothing=self._smoothing)
        return loss if self.teacher is None else self.teacher.combined_loss(loss, outputs, inputs, execution)

    def of_outputs(self, outputs: Any, labels: Any) -> Tensor:
        """Return the mean loss of ``outputs``: the user's loss, or cross entropy without label smoothing.

        Raises:
            ModelError: The user's loss fails, or does not return a scalar.
            RecipeError: The user's training step does not provide a loss of outputs.
        """
        if self._step is not None:
            raise RecipeError(
                "training.step: scores and selections need the loss of outputs, but your training step does not "
                "provide it: set training.loss instead, or another prune.selection or prune.criterion ('edgeprune "
                "criteria' lists what each needs)"
            )
        if self._loss is None:
            return _cross_entropy(outputs, labels, has_valid=bool((labels != IGNORED).any()))
        if isinstance(self._loss, nn.Module):
            self._loss.to(next(leaf.device for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, Tensor)))
        return _scalar(_called(self._loss, "training.loss", outputs, labels), "training.loss")

    def check_batch(self, model: nn.Module, split: Split, *, batch_size: int) -> None:
        """Compute the loss of one batch of ``split`` on a copy of ``model``, to raise the errors of training early."""
        inputs, labels = next(iter(split.batches(min(batch_size, len(split)))))
        with seeded(0):
            self(copy.deepcopy(model).train(), inputs, labels, DEFAULT_EXECUTION)


def _cross_entropy(outputs: Tensor, labels: Tensor, *, has_valid: bool, smoothing: float = 0.0) -> Tensor:
    """Return the mean over labels that are not ignored; 0 if all are ignored, where torch returns NaN."""
    if not has_valid:
        return outputs.sum() * 0.0
    return functional.cross_entropy(outputs, labels, label_smoothing=smoothing)


def callable_of(spec: str, key: str, base: Path) -> Callable[..., Any]:
    """Load the function or module that ``spec`` of the setting ``key`` names; a class of modules is instantiated.

    Raises:
        RecipeError: The name does not exist, or is not callable.
    """
    function = load_object(spec, base=base, error=RecipeError)
    if inspect.isclass(function):
        with user_code(f"{key}: {spec} cannot be made without arguments", RecipeError):
            function = function()
    if not callable(function):
        raise RecipeError(f"{key}: {spec} must be a function or a class of modules, got {type(function).__name__}")
    return function  # type: ignore[no-any-return]


def _called(function: Callable[..., Any], key: str, *arguments: Any) -> Any:
    with user_code(f"{key} fails", ModelError):
        return function(*arguments)


def _learnable(value: Any, key: str) -> Tensor:
    """Return ``value`` as one scalar; raise ModelError if it has no gradient."""
    total = _scalar(value, key)
    if torch.is_grad_enabled() and not total.requires_grad:
        raise ModelError(f"{key} must return a loss that depends on the weights of the network, but it has no gradient")
    return total


def _scalar(value: Any, key: str) -> Tensor:
    """Return ``value`` as one scalar; a dict of losses, as torchvision's detectors return it, is summed."""
    total = sum(value.values()) if isinstance(value, Mapping) and value else value
    if not isinstance(total, Tensor) or total.numel() != 1:
        actual = f"a tensor of shape {tuple(total.shape)}" if isinstance(total, Tensor) else type(total).__name__
        raise ModelError(
            f"{key} must return a scalar tensor, or a dict of scalar tensors, which are added, got {actual}"
        )
    return total.float().reshape(())
