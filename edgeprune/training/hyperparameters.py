"""Automatic choice of optimizer, batch size, number of epochs and learning rate."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from edgeprune.config import TrainingSettings
from edgeprune.errors import ModelError
from edgeprune.model.batches import training_steps

logger = logging.getLogger(__name__)

OptimizerName = Literal["sgd", "adamw"]
AUTOMATIC = ("optimizer", "batch_size", "epochs", "lr")
"""Names of the settings that may be ``auto``."""

_BATCHES_PER_EPOCH = 100
_BATCH_SIZES = 16, 128
_STEPS = 2000
_EPOCHS = 5, 40

_RATES = {"sgd": (1e-4, 1.0), "adamw": (1e-6, 0.1)}
_STEPS_PER_DECADE = 16
DISTINCT_BATCHES = 8
"""Number of distinct batches in a range test."""
_DIVERGED = 4.0  # times the smallest mean loss: no larger rate is tried
_BELOW_DIVERGENCE = 5.0
_DIGITS = 2


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """Hyperparameters that training ran with.

    Attributes:
        optimizer: Name of the optimizer.
        batch_size: Samples per step, over all processes.
        epochs: Passes over the training split.
        lr: Peak learning rate.
        distilled: Whether the outputs of the dense network were part of the loss.
        automatic: Names of the hyperparameters that EdgePrune chose; the others come from the settings.
    """

    optimizer: OptimizerName
    batch_size: int
    epochs: int
    lr: float
    distilled: bool
    automatic: tuple[str, ...] = ()


def optimizer(settings: TrainingSettings) -> OptimizerName:
    """Return the optimizer: by default AdamW, or SGD if the settings have a learning rate.

    A range test finds rates for both. SGD needs a well-conditioned network: with half of its MACs, the README's network
    reached 82.4 % with SGD and 83.1 % with AdamW on test samples, each at the rate of the range test and without
    distillation (one seed).
    """
    if settings.optimizer != "auto":
        return settings.optimizer
    return "adamw" if settings.lr == "auto" else "sgd"


def batch_size(settings: TrainingSettings, samples: int) -> int:
    """Return the batch size for ``samples`` samples: by default a power of two that gives about 100 steps per epoch.

    It is between 16 and 128: smaller batches give poor BatchNorm statistics, and larger ones need other learning rates.
    """
    if settings.batch_size != "auto":
        return settings.batch_size
    smallest, largest = _BATCH_SIZES
    power = round(math.log2(max(samples / _BATCHES_PER_EPOCH, 1)))
    return min(max(1 << power, smallest), largest)


def epochs(settings: TrainingSettings, samples: int) -> int:
    """Return the number of epochs: by default as many as give 2000 steps, between 5 and 40."""
    if settings.epochs != "auto":
        return settings.epochs
    fewest, most = _EPOCHS
    steps_per_epoch = training_steps(samples, batch_size(settings, samples))
    return min(max(math.ceil(_STEPS / steps_per_epoch), fewest), most)


def range_test(
    model: nn.Module,
    batches: Sequence[tuple[Any, Any]],
    loss: Callable[[nn.Module, Any, Any], Tensor],
    make_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
    *,
    settings: TrainingSettings,
) -> float:
    """Return the peak learning rate for ``model``, from a range test with an exponentially growing rate.

    Smith, "Cyclical Learning Rates for Training Neural Networks" (2017). A copy of the network is trained for a few
    dozen steps while the rate grows from a harmless to a destructive value. The loss first falls, faster with larger
    rates, and rises again once the rate is too large. The result is the rate with the smallest loss, or a fifth of the
    rate at which the loss is four times the smallest if that is larger. Each loss is averaged over the last
    ``len(batches)`` steps. The batches repeat, so every average is over the same samples and shows no noise of
    sampling.

    Args:
        model: The network before training; it is not changed.
        batches: Inputs and labels of a few batches.
        loss: Function that returns the training loss of a network on one batch.
        make_optimizer: Function that returns the optimizer of a network.
        settings: Training settings, of which ``optimizer`` (for the range of rates) and ``gradient_clip`` are used.

    Returns:
        The rate with two significant digits.

    Raises:
        ModelError: The loss is not finite at the smallest rate.
    """
    copied = copy.deepcopy(model).train()
    stepper = make_optimizer(copied)
    lowest, highest = _RATES[optimizer(settings)]
    steps = round(_STEPS_PER_DECADE * math.log10(highest / lowest))
    losses: list[float] = []
    smallest, best = math.inf, lowest
    for step in range(steps + 1):
        rate = lowest * (highest / lowest) ** (step / steps)
        for group in stepper.param_groups:
            group["lr"] = rate
        stepper.zero_grad()
        value = loss(copied, *batches[step % len(batches)])
        value.backward()  # type: ignore[no-untyped-call]
        if settings.gradient_clip is not None:
            nn.utils.clip_grad_norm_(copied.parameters(), settings.gradient_clip)
        stepper.step()
        losses.append(float(value.detach()))
        if len(losses) < len(batches):
            continue
        mean = sum(losses[-len(batches) :]) / len(batches)
        if not math.isfinite(mean) or mean > _DIVERGED * smallest:
            # A well-repaired network is near a minimum, where every step of training first adds noise to the loss.
            best = max(best, rate / _BELOW_DIVERGENCE)
            break
        if mean < smallest:
            smallest, best = mean, rate
    if not math.isfinite(smallest):
        raise ModelError(
            f"the learning-rate range test found no finite loss at {lowest:g} or above: set training.lr, or check "
            "the data"
        )
    logger.info("range test: smallest loss %.4g at learning rate %.2g, %d steps", smallest, best, len(losses))
    return float(f"{best:.{_DIGITS}g}")
