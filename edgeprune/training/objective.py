"""Objective of a training step: cross entropy, a user's own loss or step, and the distance from a teacher."""

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
from edgeprune.training.precision_and_layout import PLAIN, StepExecution

Step = Callable[[nn.Module, Any, Any], Any]
Metric = Callable[[Callable[..., Any], Any], float]


class Objective:
    """The loss of a batch, a scalar.

    Args:
        settings: ``loss``, ``step`` and ``label_smoothing`` count.
        teacher: To learn from besides; None: from labels alone.
        base: Folder that file names in the settings are relative to.

    Raises:
        RecipeError: A loss or step that cannot be found or called; both, or a teacher beside a step of one's own.
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
                    "training.step and training.loss: got both; a step of one's own computes the loss too"
                )
            self._step = callable_of(settings.step, "training.step", folder)
            if teacher is not None:
                raise RecipeError(
                    "training.step: a step of one's own hides the outputs that distillation compares; set "
                    "training.distillation.weight = 0, or give training.loss instead"
                )
        if settings.loss is not None:
            self._loss = callable_of(settings.loss, "training.loss", folder)

    @property
    def plain(self) -> bool:
        """Whether it is cross entropy with class labels, so that accuracy says how good a network is."""
        return self._step is None and self._loss is None

    @property
    def steps(self) -> bool:
        """Whether the whole step is the user's own."""
        return self._step is not None

    def __call__(self, model: nn.Module, inputs: Any, labels: Any, execution: StepExecution) -> Tensor:
        """The mean loss of a batch, float32.

        Raises:
            DataError: Labels out of range, inputs that are not finite.
            ModelError: The user's loss or step fails, or gives no scalar that depends on the network; without them the
                network gives something else than one tensor (N, classes, ...).
        """
        if self._step is not None:
            inputs, labels = execution.moved(model, inputs), execution.moved(model, labels)
            with execution.autocast(model):
                return _learnable(_called(self._step, "training.step", model, inputs, labels), "training.step")
        outputs = execution.forward(model, inputs)
        if self._loss is not None:
            loss = _learnable(self.of_outputs(outputs, execution.moved(model, labels)), "training.loss")
        else:
            # Where they come from: a GPU would have to be waited for.
            check(inputs, labels, logits(outputs).shape, where="training")
            counts = bool((labels != IGNORED).any())
            labels = execution.moved(model, labels)
            loss = _cross_entropy(outputs, labels, counts=counts, smoothing=self._smoothing)
        return loss if self.teacher is None else self.teacher.mixed(loss, outputs, inputs, execution)

    def of_outputs(self, outputs: Any, labels: Any) -> Tensor:
        """The mean loss of what a network gave for a batch: the user's own, or plain cross entropy.

        Raises:
            ModelError: The user's loss fails, or gives no scalar.
            RecipeError: The user's step hides it.
        """
        if self._step is not None:
            raise RecipeError(
                "training.step: a step of one's own hides the loss of outputs, which is needed to score or choose "
                "here; give training.loss instead, or another prune.criterion ('edgeprune criteria' says what each "
                "needs) or prune.selection"
            )
        if self._loss is None:
            return _cross_entropy(outputs, labels, counts=bool((labels != IGNORED).any()))
        if isinstance(self._loss, nn.Module):
            self._loss.to(next(leaf.device for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, Tensor)))
        return _scalar(_called(self._loss, "training.loss", outputs, labels), "training.loss")

    def try_on(self, model: nn.Module, split: Split, *, batch_size: int) -> None:
        """Raise what training would, by the forward pass of one batch of ``split`` on a copy of ``model``."""
        inputs, labels = next(iter(split.batches(min(batch_size, len(split)))))
        with seeded(0):
            self(copy.deepcopy(model).train(), inputs, labels, PLAIN)


def _cross_entropy(outputs: Tensor, labels: Tensor, *, counts: bool, smoothing: float = 0.0) -> Tensor:
    """Mean over the labels that count; 0 if none does, where torch's mean over no labels is NaN."""
    if not counts:
        return outputs.sum() * 0.0
    return functional.cross_entropy(outputs, labels, label_smoothing=smoothing)


def callable_of(spec: str, key: str, base: Path) -> Callable[..., Any]:
    """Load the function or module that ``spec`` of the setting ``key`` names; a class of modules is instantiated.

    Raises:
        RecipeError: There is nothing of that name, or nothing to call.
    """
    found = load_object(spec, base=base, error=RecipeError)
    if inspect.isclass(found):
        with user_code(f"{key}: {spec} cannot be made without arguments", RecipeError):
            found = found()
    if not callable(found):
        raise RecipeError(f"{key}: {spec} is {type(found).__name__}; it must be a function, or a class of modules")
    return found  # type: ignore[no-any-return]


def _called(function: Callable[..., Any], key: str, *arguments: Any) -> Any:
    with user_code(f"{key} fails", ModelError):
        return function(*arguments)


def _learnable(value: Any, key: str) -> Tensor:
    """``value`` as one scalar that the network can learn from."""
    total = _scalar(value, key)
    if torch.is_grad_enabled() and not total.requires_grad:
        raise ModelError(f"{key} gives a number that no weight of the network has a part in; its gradient is needed")
    return total


def _scalar(value: Any, key: str) -> Tensor:
    """``value`` as one scalar; several by name, as torchvision's detectors give them, are added."""
    total = sum(value.values()) if isinstance(value, Mapping) and value else value
    if not isinstance(total, Tensor) or total.numel() != 1:
        got = f"a tensor of shape {tuple(total.shape)}" if isinstance(total, Tensor) else type(total).__name__
        raise ModelError(f"{key} gives {got}; a scalar tensor must come of it, or a dict of them, which are added")
    return total.float().reshape(())
