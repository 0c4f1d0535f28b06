"""Checkpoints of a training run: written by process 0, read by all processes."""

from __future__ import annotations

from typing import Any

from edgeprune.training.checkpoint import Checkpoints
from edgeprune.training.distributed import ProcessGroup
from edgeprune.training.run_state import RunState, StretchState


class RunCheckpoints:
    """Saves and restores the state of a run.

    Args:
        files: Files of the run.
        state: State of the run.
        processes: The processes that train together.
    """

    def __init__(self, files: Checkpoints, state: RunState, processes: ProcessGroup) -> None:
        self._files = files
        self._state = state
        self._processes = processes

    def save(self, stretch: StretchState, *, underway: bool = False) -> None:
        """Save the state.

        Args:
            stretch: The stretch in progress.
            underway: Whether an epoch is unfinished; no rollback returns to such a checkpoint.
        """
        if self._processes.first:
            self._files.save(self._state.state_dict(stretch, self._processes.count), underway=underway)

    def resume(self, stretch: StretchState) -> bool:
        """Restore the latest state of ``stretch``, whose hook has begun; returns False if there is none.

        Raises:
            InputError: Another number of processes began the run.
            TrainingError: The folder holds another run, or a damaged file.
        """
        content = self._processes.tell(self._files.latest(stretch.number) if self._processes.first else None)
        if content is None:
            return False
        self._restore(stretch, content)
        return True

    def roll_back(self, stretch: StretchState) -> None:
        """Restore the state after the last finished epoch, or at the beginning of ``stretch``, and begin its hook."""
        content = self._processes.tell(self._files.load(stretch.number) if self._processes.first else None)
        assert content is not None, "written at the beginning of the stretch"
        self._state.network.model.load_state_dict(content["model"])  # before the hook looks at weights that may be NaN
        stretch.hook.begin(stretch.end - stretch.begin)
        self._restore(stretch, content)

    def _restore(self, stretch: StretchState, content: dict[str, Any]) -> None:
        self._state.load_state_dict(content, stretch, self._processes.count, self._files.folder)
