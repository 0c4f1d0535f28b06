"""Validation during training, and selection of the network that training returns."""

from __future__ import annotations

import time

from torch import nn

from edgeprune.errors import ModelError
from edgeprune.model import weights
from edgeprune.progress import SILENT, Progress
from edgeprune.training.checkpoint import Checkpoints
from edgeprune.training.distributed import ProcessGroup
from edgeprune.training.evaluate import BrokenError, Evaluation
from edgeprune.training.evaluator import Evaluator
from edgeprune.training.history import Epoch
from edgeprune.training.run_state import PhaseState, RunState


class Validation:
    """Validation in process 0 before a phase and after each epoch, which saves the best and the last network.

    Args:
        evaluator: Evaluator of networks on the validation split.
        processes: Processes that train together.
        files: Files of the run.
        progress: Progress bar, which receives each finished epoch.
    """

    def __init__(
        self, evaluator: Evaluator, processes: ProcessGroup, files: Checkpoints, *, progress: Progress = SILENT
    ) -> None:
        self._evaluator = evaluator
        self._processes = processes
        self._files = files
        self._progress = progress

    def before_phase(self, state: RunState, *, candidate: bool, first: bool) -> None:
        """Evaluate the network before a phase, if needed.

        Args:
            state: State of the run.
            candidate: Whether training may end with this network.
            first: Whether this is the first phase. A user-defined metric is then tried now, not after an epoch.

        Raises:
            ModelError: The user's metric, loss or step fails, or returns a number that is not finite.
        """
        untried = first and not self._evaluator.is_default
        if not (candidate or untried):
            return
        network = state.network.evaluated
        result = self._evaluate(network)
        if isinstance(result, str):
            if untried:
                raise ModelError(f"before training: {result}")
            return
        if candidate:
            state.start_accuracy = result.accuracy
            if self._processes.first:
                weights.save(network.state_dict(), self._files.best)

    def after_epoch(self, state: RunState, phase: PhaseState, number: int) -> str | None:
        """Evaluate the network after epoch ``number``, add the epoch to ``state``, and save the network.

        Returns:
            Problem with the outputs; None if they are finite.
        """
        network = state.network.evaluated
        begun = time.perf_counter()
        result = self._evaluate(network)
        if isinstance(result, str):
            return f"after epoch {number}: {result}"
        better = result.accuracy >= state.best_accuracy
        state.epochs.append(
            Epoch(
                number=number,
                phase=phase.number,
                train_loss=sum(phase.losses) / len(phase.losses),
                validation_loss=result.loss,
                validation_accuracy=result.accuracy,
                lr=state.network.rate,
                seconds=phase.seconds + time.perf_counter() - begun,
            )
        )
        finished = vars(state.epochs[-1])
        self._progress.finish_epoch(epoch=number, **{name: finished[name] for name in finished if name != "number"})
        phase.losses.clear()
        phase.seconds = 0.0
        if better:
            state.best_epoch = len(state.epochs)
        if self._processes.first:
            # Before the checkpoint: an interruption in between repeats the epoch, which writes the same files again.
            for file in [self._files.best] * better + [self._files.last]:
                weights.save(network.state_dict(), file)
        return None

    def _evaluate(self, model: nn.Module) -> Evaluation | str:
        """Return the evaluation of process 0; a message if outputs are not finite."""
        result: Evaluation | str | None = None
        if self._processes.first:
            try:
                result = self._evaluator(model)
            except BrokenError as problem:
                result = str(problem)
        shared: Evaluation | str = self._processes.broadcast(result)
        return shared
