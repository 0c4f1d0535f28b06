"""Options of ``Schedule.attach`` that describe the user's training loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from edgeprune.schedules.removals import State


@dataclass(frozen=True, kw_only=True)
class LoopOptions:
    """Objects of the training loop around which a schedule is attached, beside the model and its optimizer.

    Attributes:
        scheduler: Learning-rate scheduler that the loop steps at every update. Its curve has the length of one phase of
            the schedule: it is reset where a phase starts the curve again, and stepped ahead where a phase starts late.
            None: EdgePrune does not change the learning rate.
        ema: Average of the weights, such as ``torch.optim.swa_utils.AveragedModel``, which is sliced with the model.
        rewind_weights: State dict of the dense network from early in its training. Schedules that rewind to it need it.
        initialize: Function from a seed to the state dict of a newly initialized dense network. None: the
            ``reset_parameters`` of the layers.
        evaluate: Function from a network to its quality on validation data; larger is better. None: the negative loss
            on ``data``.
    """

    scheduler: LRScheduler | None = None
    ema: nn.Module | None = None
    rewind_weights: State | None = None
    initialize: Callable[[int], State] | None = None
    evaluate: Callable[[nn.Module], float] | None = None
