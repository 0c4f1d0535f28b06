"""How good a network is on validation data, by what the settings say."""

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
from edgeprune.training.precision_and_layout import PLAIN

_BATCH = 64
LOSS = "-loss"
"""Name of the metric where a loss of the user's own is all there is."""


class Evaluator:
    """Evaluates networks on a split: by accuracy, by the user's metric, else by the loss alone.

    A metric is not given the network itself, but what can be called as it: so it works for an exported file as well.
    A step of the user's own gives a loss in training mode; in eval mode perhaps not (torchvision's detectors give boxes
    then). So beside a metric the loss is minus the metric; without one the step must do it.

    Args:
        split: To read.
        settings: ``metric`` counts, and where there is none whether ``loss`` or ``step`` are the user's own.
        base: Folder that file names in the settings are relative to.

    Attributes:
        metric: Name of what ``Evaluation.accuracy`` is: ``accuracy``, the user's metric, or ``-loss``.

    Raises:
        RecipeError: A metric, loss or step that cannot be found or called.
    """

    def __init__(self, split: Split, settings: TrainingSettings, *, base: Path | None = None) -> None:
        folder = base or Path.cwd()
        self._split = split
        self._batch = min(_BATCH, settings.sample_batch)
        self._metric = None if settings.metric is None else callable_of(settings.metric, "training.metric", folder)
        self._objective = Objective(settings, base=folder)
        name = None if settings.metric is None else settings.metric.rpartition(":")[2]
        self.metric = name or ("accuracy" if self._objective.plain else LOSS)

    @property
    def plain(self) -> bool:
        """Whether nothing of it is the user's own."""
        return self._metric is None and self._objective.plain

    def __call__(self, model: nn.Module, *, progress: Progress = SILENT) -> Evaluation:
        """How good ``model`` is, in eval mode and float32; every module's mode is as before afterwards.

        Raises:
            DataError: As ``evaluate``.
            ModelError: As ``evaluate``; the user's metric, loss or step fails. BrokenError: it is not finite.
        """
        with eval_mode(model):
            return evaluate(model, self._split, progress=progress) if self.plain else self._by_users(model)

    @property
    def batch_size(self) -> int:
        """Number of samples in each batch of ``batch_losses``."""
        return self._batch

    def batch_losses(self, model: nn.Module) -> tuple[float, ...]:
        """The user's loss of each batch of the split, in order, for ``model`` in eval mode.

        Raises:
            ModelError: As ``__call__``.
        """
        with torch.no_grad():
            return tuple(float(self._objective(model, *batch, PLAIN)) for batch in self._split.batches(self._batch))

    def mean_loss(self, losses: Sequence[float]) -> float:
        """Mean of ``batch_losses`` over the samples of the split.

        Raises:
            BrokenError: It is not finite.
        """
        total, left = 0.0, len(self._split)
        for loss in losses:
            count = min(self._batch, left)  # what a batch of a user's own kind holds cannot be seen from outside
            total += loss * count
            left -= count
        return _finite(total / len(self._split), "the mean loss on validation data")

    def _by_users(self, model: nn.Module) -> Evaluation:
        started = time.perf_counter()
        with torch.no_grad():
            loss = None if self._metric is not None and self._objective.steps else self._loss(model)
            value = self._measured(model) if self._metric is not None else -float(loss or 0.0)
        return Evaluation(
            accuracy=value,
            loss=-value if loss is None else loss,
            samples=len(self._split),
            seconds=time.perf_counter() - started,
        )

    def _loss(self, model: nn.Module) -> float:
        return self.mean_loss(self.batch_losses(model))

    def _measured(self, model: nn.Module) -> float:
        assert self._metric is not None
        with user_code("training.metric fails", ModelError):
            value: Any = self._metric(_Callable(model).eval(), self._split)
            measured = float(value)
        return _finite(measured, "training.metric")


class _Callable(nn.Module):
    """Called as a network, with tensors on the CPU, it answers with such. It has no parts, as an exported file."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._called = [model]  # in a list it is no submodule

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        (model,) = self._called
        args, kwargs = moved((args, kwargs), device_of(model), channels_last=False)
        return pytree.tree_map_only(torch.Tensor, torch.Tensor.cpu, model(*args, **kwargs))


def _finite(value: float, what: str) -> float:
    if not math.isfinite(value):
        raise BrokenError(f"{what} is {value}; it must be a finite number")
    return value
