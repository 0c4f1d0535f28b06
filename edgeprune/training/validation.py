"""Validation during training, and the networks that training may end with."""

from __future__ import annotations

import time

from torch import nn

from edgeprune.errors import ModelError
from edgeprune.model import weights
from edgeprune.training.checkpoint import Checkpoints
from edgeprune.training.distributed import ProcessGroup
from edgeprune.training.evaluate import BrokenError, Evaluation
from edgeprune.training.evaluator import Evaluator
from edgeprune.training.history import Epoch
from edgeprune.training.run_state import RunState, StretchState


class Validation:
    """Evaluates the network before a stretch and after each epoch, in process 0, and saves the best and the last.

    Args:
        judge: Evaluates a network.
        processes: The processes that train together.
        files: Files of the run.
    """

    def __init__(self, judge: Evaluator, processes: ProcessGroup, files: Checkpoints) -> None:
        self._judge = judge
        self._processes = processes
        self._files = files

    def before_stretch(self, state: RunState, *, candidate: bool, first: bool) -> None:
        """Evaluate the network before a stretch, where that is needed.

        Args:
            state: State of the run.
            candidate: Whether training may end with this network.
            first: Whether this is the first stretch: then a metric of the user is tried now, not after an epoch.

        Raises:
            ModelError: The user's metric, loss or step fails, or returns a number that is not finite.
        """
        untried = first and not self._judge.plain
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

    def after_epoch(self, state: RunState, stretch: StretchState, number: int) -> str | None:
        """Evaluate the network after epoch ``number``, add the epoch to ``state``, and save the network.

        Returns:
            What is wrong with the outputs; None if nothing is.
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
                stretch=stretch.number,
                train_loss=sum(stretch.losses) / len(stretch.losses),
                validation_loss=result.loss,
                validation_accuracy=result.accuracy,
                seconds=stretch.seconds + time.perf_counter() - begun,
            )
        )
        stretch.losses.clear()
        stretch.seconds = 0.0
        if better:
            state.best_epoch = len(state.epochs)
        if self._processes.first:
            # Before the checkpoint: a stop between them repeats the epoch, which writes them again, the same.
            for file in [self._files.best] * better + [self._files.last]:
                weights.save(network.state_dict(), file)
        return None

    def _evaluate(self, model: nn.Module) -> Evaluation | str:
        """Evaluation in process 0; a message if outputs are not finite."""
        result: Evaluation | str | None = None
        if self._processes.first:
            try:
                result = self._judge(model)
            except BrokenError as problem:
                result = str(problem)
        shared: Evaluation | str = self._processes.tell(result)
        return shared
