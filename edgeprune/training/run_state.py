"""State of a training run that its checkpoints hold."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeprune.errors import InputError, TrainingError
from edgeprune.training.divergence import Divergence
from edgeprune.training.history import Epoch
from edgeprune.training.phase import Hook, Phase
from edgeprune.training.trained_network import TrainedNetwork


@dataclass
class PhaseState:
    """A phase in progress.

    Attributes:
        phase: Description of the phase.
        number: Number of the phase, from 1.
        begin: First step of the phase, counted from 0 over all phases.
        end: Step after the last one of the phase.
        step: Next step.
        hook: Hook of the phase.
        losses: Training loss of each step of the epoch so far.
        seconds: Wall-clock duration of the epoch so far.
        divergence: Detects losses that grow without bounds.
    """

    phase: Phase
    number: int
    begin: int
    end: int
    step: int = field(init=False)
    hook: Hook = field(init=False)
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    divergence: Divergence = field(default_factory=Divergence)

    def __post_init__(self) -> None:
        self.step = self.begin
        self.hook = self.phase.hook or Hook()

    @property
    def position(self) -> float:
        """Position of the next step on the learning-rate curve, 0 to 1."""
        begin, end = self.phase.rate
        return begin + (end - begin) * (self.step - self.begin) / (self.end - self.begin)


@dataclass
class RunState:
    """Mutable state of a training run, apart from the phase in progress.

    Attributes:
        network: The network, its optimizer and the average of its weights.
        lr: Peak learning rate; None before the range test.
        epochs: Finished epochs.
        best_epoch: See ``History.best_epoch``.
        start_accuracy: See ``History.start_accuracy``.
        rollbacks: Number of rollbacks.
    """

    network: TrainedNetwork
    lr: float | None
    epochs: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    start_accuracy: float | None = None
    rollbacks: int = 0

    @property
    def peak_rate(self) -> float:
        """Peak learning rate; defined from the first step on."""
        assert self.lr is not None, "chosen before the first step"
        return self.lr

    @property
    def best_accuracy(self) -> float:
        """Best validation accuracy of the phase in progress; -inf before the first evaluation."""
        if self.best_epoch:
            return self.epochs[self.best_epoch - 1].validation_accuracy
        return -math.inf if self.start_accuracy is None else self.start_accuracy

    def forget_best(self) -> None:
        """Reset the best accuracy, because a new phase may train a network of another shape."""
        self.best_epoch, self.start_accuracy = 0, None

    def state_dict(self, phase: PhaseState, processes: int) -> dict[str, Any]:
        """Everything that ``load_state_dict`` needs, as tensors and plain values.

        Args:
            phase: The phase in progress.
            processes: Number of processes that train together.
        """
        return {
            "processes": processes,
            "phase": phase.number,
            "begin": phase.begin,
            "end": phase.end,
            "step": phase.step,
            "losses": phase.losses,
            "seconds": phase.seconds,
            "divergence": phase.divergence.state_dict(),
            "hook": phase.hook.state_dict(),
            **self.network.state_dict(),
            "epochs": [vars(epoch) for epoch in self.epochs],
            "best_epoch": self.best_epoch,
            "start_accuracy": self.start_accuracy,
            "lr": self.lr,
            "rollbacks": self.rollbacks,
        }

    def load_state_dict(self, content: dict[str, Any], phase: PhaseState, processes: int, folder: Path) -> None:
        """Restore the state that ``state_dict`` returned, here and in ``phase``.

        Args:
            content: State to restore.
            phase: State of the same phase, whose hook has begun.
            processes: Number of processes that train together now.
            folder: Folder of the checkpoints, for error messages.

        Raises:
            InputError: Another number of processes began the run.
            TrainingError: The state is of another schedule.
        """
        if content["processes"] != processes:
            raise InputError(
                f"{folder} belongs to a training run with {content['processes']} processes, got {processes}: start "
                f"as many (torchrun --nproc-per-node {content['processes']}), or remove the folder to start over"
            )
        if (content["begin"], content["end"]) != (phase.begin, phase.end):
            raise TrainingError(
                f"{folder} belongs to another schedule: its phase {phase.number} has the steps {content['begin']} to "
                f"{content['end']}, expected {phase.begin} to {phase.end}. Remove the folder to start over"
            )
        try:
            self.network.load_state_dict(content)
        except RuntimeError as problem:
            raise TrainingError(
                f"{folder} belongs to another schedule: the network of its phase {phase.number} has other shapes. "
                "Remove the folder to start over"
            ) from problem
        phase.hook.load_state_dict(content["hook"])
        phase.divergence.load_state_dict(content["divergence"])
        phase.step = content["step"]
        phase.losses, phase.seconds = content["losses"], content["seconds"]
        self.epochs = [Epoch(**epoch) for epoch in content["epochs"]]
        self.best_epoch, self.rollbacks = content["best_epoch"], content["rollbacks"]
        self.start_accuracy, self.lr = content["start_accuracy"], content["lr"]
