"""Number of training steps, and the learning rate of each."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgeprune.config import TrainingSettings
from edgeprune.errors import InputError
from edgeprune.model.batches import training_steps
from edgeprune.training import hyperparameters
from edgeprune.training.hyperparameters import AUTOMATIC, Hyperparameters


@dataclass(frozen=True, kw_only=True)
class StepPlan:
    """Number and learning rates of the steps of a training run.

    Attributes:
        batch_size: Samples per step, over all processes.
        epochs: Passes over the training split.
        epoch_steps: Steps per epoch.
        warmup: Steps in which the learning rate rises to its peak.
    """

    batch_size: int
    epochs: int
    epoch_steps: int
    warmup: int

    @staticmethod
    def of(settings: TrainingSettings, samples: int, processes: int) -> StepPlan:
        """Return the plan for ``samples`` training samples, with each batch divided among ``processes``.

        Raises:
            InputError: A batch has fewer samples than there are processes.
        """
        batch_size = hyperparameters.batch_size(settings, samples)
        if min(batch_size, samples) < processes:
            raise InputError(
                f"training.batch_size: got {batch_size}, with {samples} training samples and {processes} processes, "
                "which divide each batch; both must be at least the number of processes"
            )
        epochs = hyperparameters.epochs(settings, samples)
        epoch_steps = training_steps(samples, batch_size)
        warmup = min(round(settings.warmup_epochs * epoch_steps), epochs * epoch_steps)
        return StepPlan(batch_size=batch_size, epochs=epochs, epoch_steps=epoch_steps, warmup=warmup)

    @property
    def steps(self) -> int:
        """Steps of all epochs."""
        return self.epochs * self.epoch_steps

    def rate(self, peak: float, position: float) -> float:
        """Return the learning rate at ``position`` of the curve, 0 to 1."""
        return learning_rate(peak, position * self.steps, steps=self.steps, warmup=self.warmup)

    def hyperparameters(self, settings: TrainingSettings, lr: float, *, distilled: bool) -> Hyperparameters:
        """Return the hyperparameters that training ran with, for its history."""
        return Hyperparameters(
            optimizer=hyperparameters.optimizer(settings),
            batch_size=self.batch_size,
            epochs=self.epochs,
            lr=lr,
            distilled=distilled,
            automatic=tuple(name for name in AUTOMATIC if getattr(settings, name) == "auto"),
        )


def learning_rate(peak: float, step: float, *, steps: int, warmup: int) -> float:
    """Return the rate of ``step`` (from 0) of ``steps``: linear to ``peak`` in ``warmup`` steps, then half a cosine.

    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (2017), without restarts.
    """
    if step < warmup:
        return peak * min(1.0, (step + 1) / warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))
