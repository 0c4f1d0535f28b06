"""Saving and restoring of a training run: process 0 accesses the files for all processes."""

from __future__ import annotations

from typing import Any

from edgeprune.training.checkpoint import Checkpoints
from edgeprune.training.distributed import ProcessGroup
from edgeprune.training.run_state import PhaseState, RunState


class RunCheckpoints:
    """Checkpoints of a run in all processes.

    Args:
        files: Files of the run.
        state: State of the run.
        processes: Processes that train together.
    """

    def __init__(self, files: Checkpoints, state: RunState, processes: ProcessGroup) -> None:
        self._files = files
        self._state = state
        self._processes = processes

    def save(self, phase: PhaseState, *, underway: bool = False) -> None:
        """Save the state.

        Args:
            phase: The phase in progress.
            underway: Whether an epoch is unfinished; no rollback returns to such a checkpoint.
        """
        if self._processes.first:
            self._files.save(self._state.state_dict(phase, self._processes.count), underway=underway)

    def resume(self, phase: PhaseState) -> bool:
        """Restore the latest state of ``phase``, whose hook has begun; returns False if there is none.

        Raises:
            InputError: Another number of processes began the run.
            TrainingError: The folder holds another run, or a damaged file.
        """
        content = self._processes.broadcast(self._files.latest(phase.number) if self._processes.first else None)
        if content is None:
            return False
        self._restore(phase, content)
        return True

    def roll_back(self, phase: PhaseState) -> None:
        """Restore the state after the last finished epoch, or at the beginning of ``phase``, and begin its hook."""
        content = self._processes.broadcast(self._files.load(phase.number) if self._processes.first else None)
        assert content is not None, "written at the beginning of the phase"
        self._state.network.model.load_state_dict(content["model"])  # before the hook looks at weights that may be NaN
        phase.hook.begin(phase.end - phase.begin)
        self._restore(phase, content)

    def _restore(self, phase: PhaseState, content: dict[str, Any]) -> None:
        self._state.load_state_dict(content, phase, self._processes.count, self._files.folder)
