"""Evaluation of a network by the metric and loss of the training settings."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from edgeprune.config import TrainingSettings
from edgeprune.errors import ModelError
from edgeprune.model.data import Split
from edgeprune.model.eval_mode import eval_mode
from edgeprune.model.user_code_guard import user_code
from edgeprune.progress import SILENT, Progress
from edgeprune.training.evaluate import BrokenError, Evaluation, device_of, evaluate, moved
from edgeprune.training.objective import Objective, callable_of
from edgeprune.training.precision_and_layout import DEFAULT_EXECUTION

_BATCH = 64
LOSS = "-loss"
"""Name of the metric if the user gives a loss and no metric."""


class Evaluator:
    """Evaluator of networks on a split: by accuracy, by the user's metric, or by the user's loss.

    A metric receives a callable with the signature of the network, not the network, so that it also works for exported
    files. A user's training step may return no loss in eval mode (torchvision's detectors return boxes). With a step
    and a metric, the reported loss is therefore the negative metric. With a step and without a metric, the step must
    return a loss in eval mode.

    Args:
        split: Samples to evaluate on.
        settings: Training settings, of which ``metric``, ``loss`` and ``step`` are used.
        base: Folder that file names in the settings are relative to. Defaults to the working folder.

    Attributes:
        metric: Name of the value in ``Evaluation.accuracy``: ``accuracy``, the user's metric, or ``-loss``.

    Raises:
        RecipeError: A metric, loss or step cannot be loaded or is not callable.
    """

    def __init__(self, split: Split, settings: TrainingSettings, *, base: Path | None = None) -> None:
        folder = base or Path.cwd()
        self._split = split
        self._batch = min(_BATCH, settings.sample_batch)
        self._metric = None if settings.metric is None else callable_of(settings.metric, "training.metric", folder)
        self._objective = Objective(settings, base=folder)
        name = None if settings.metric is None else settings.metric.rpartition(":")[2]
        self.metric = name or ("accuracy" if self._objective.is_default else LOSS)

    @property
    def is_default(self) -> bool:
        """Whether the settings have no user-defined metric, loss or step."""
        return self._metric is None and self._objective.is_default

    def __call__(self, model: nn.Module, *, progress: Progress = SILENT) -> Evaluation:
        """Evaluate ``model`` in eval mode and float32; the mode of every module is restored.

        Raises:
            DataError: See ``evaluate``.
            ModelError: See ``evaluate``; or the user's metric, loss or step fails.
            BrokenError: The result is not finite.
        """
        with eval_mode(model):
            return evaluate(model, self._split, progress=progress) if self.is_default else self._evaluate_custom(model)

    @property
    def batch_size(self) -> int:
        """Number of samples in each batch of ``batch_losses``."""
        return self._batch

    def batch_losses(self, model: nn.Module) -> tuple[float, ...]:
        """Return the user's loss of each batch of the split, in order, for ``model`` in eval mode.

        Raises:
            ModelError: See ``__call__``.
        """
        with torch.no_grad():
            return tuple(
                float(self._objective(model, *batch, DEFAULT_EXECUTION)) for batch in self._split.batches(self._batch)
            )

    def mean_loss(self, losses: Sequence[float]) -> float:
        """Return the mean of ``batch_losses`` over the samples of the split.

        Raises:
            BrokenError: The mean is not finite.
        """
        total, remaining = 0.0, len(self._split)
        for loss in losses:
            count = min(self._batch, remaining)  # batches of a user's type do not report their size
            total += loss * count
            remaining -= count
        return _finite(total / len(self._split), "the mean loss on validation data")

    def _evaluate_custom(self, model: nn.Module) -> Evaluation:
        started = time.perf_counter()
        with torch.no_grad():
            loss = None if self._metric is not None and self._objective.has_custom_step else self._loss(model)
            value = self._metric_value(model) if self._metric is not None else -float(loss or 0.0)
        return Evaluation(
            accuracy=value,
            loss=-value if loss is None else loss,
            samples=len(self._split),
            seconds=time.perf_counter() - started,
        )

    def _loss(self, model: nn.Module) -> float:
        return self.mean_loss(self.batch_losses(model))

    def _metric_value(self, model: nn.Module) -> float:
        assert self._metric is not None
        with user_code("training.metric fails", ModelError):
            value: Any = self._metric(_Callable(model).eval(), self._split)
            number = float(value)
        return _finite(number, "training.metric")


class _Callable(nn.Module):
    """Callable with the signature of a network, for tensors on the CPU. Like an exported file, it has no submodules."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._model = [model]  # a module in a list is not registered as a submodule

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        (model,) = self._model
        args, kwargs = moved((args, kwargs), device_of(model), channels_last=False)
        return pytree.tree_map_only(torch.Tensor, torch.Tensor.cpu, model(*args, **kwargs))


def _finite(value: float, what: str) -> float:
    if not math.isfinite(value):
        raise BrokenError(f"{what}: got {value}, must be a finite number")
    return value
