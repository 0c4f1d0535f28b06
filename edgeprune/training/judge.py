"""How good a network is on validation data, by what the settings say."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from edgeprune.config import TrainingSettings
from edgeprune.errors import ModelError
from edgeprune.model.data import Split
from edgeprune.model.sources import describe
from edgeprune.training.evaluate import Evaluation, evaluate
from edgeprune.training.execution import Execution
from edgeprune.training.objective import Objective, callable_of

_PLAIN = Execution(precision="float32", channels_last=False, threads=0, step_ms={})


class Judge:
    """Evaluates networks on a split: by accuracy, by the user's metric, else by the loss alone.

    Args:
        split: To read.
        settings: ``metric`` counts, and where there is none whether ``loss`` or ``step`` are the user's own.
        base: Folder that file names in the settings are relative to.

    Raises:
        RecipeError: A metric that cannot be found or called.
    """

    def __init__(self, split: Split, settings: TrainingSettings, *, base: Path | None = None) -> None:
        folder = base or Path.cwd()
        self._split = split
        self._metric = None if settings.metric is None else callable_of(settings.metric, "training.metric", folder)
        self._objective = Objective(settings, base=folder)

    def __call__(self, model: nn.Module) -> Evaluation:
        """How good ``model`` is, in eval mode and float32; its mode is as before afterwards.

        Raises:
            DataError, ModelError: As ``evaluate``; the user's metric, loss or step fails or gives no number.
        """
        if self._metric is None and self._objective.plain:
            return evaluate(model, self._split)
        training, started = model.training, time.perf_counter()
        model.eval()
        try:
            with torch.no_grad():
                loss, samples = self._loss(model)
                value = -loss if self._metric is None else self._measured(model)
        finally:
            model.train(training)
        return Evaluation(accuracy=value, loss=loss, samples=samples, seconds=time.perf_counter() - started)

    def _loss(self, model: nn.Module) -> tuple[float, int]:
        total, samples = 0.0, 0
        for inputs, labels in self._split.batches(64):
            count = next(len(leaf) for leaf in pytree.tree_leaves(inputs) if isinstance(leaf, torch.Tensor))
            total += float(self._objective(model, inputs, labels, _PLAIN)) * count
            samples += count
        return total / samples, samples

    def _measured(self, model: nn.Module) -> float:
        assert self._metric is not None
        try:
            value: Any = self._metric(model, self._split)
            return float(value)
        except Exception as problem:
            raise ModelError(f"training.metric fails: {describe(problem)}") from problem
