"""Columns of progress bars: counted steps, and the time left."""

from __future__ import annotations

from rich.progress import ProgressColumn, Task
from rich.text import Text


class StepCount(ProgressColumn):
    """Finished and all steps, such as ``7/30``; empty if the work has no steps."""

    def render(self, task: Task) -> Text:
        """Return the text of the column."""
        return Text("" if task.total is None else f"{task.completed:.0f}/{task.total:.0f}", style="progress.download")


class TimeLeft(ProgressColumn):
    """Remaining time, from the speed of the steps, or from the duration of an earlier run in the field ``expected_s``.

    Work of unknown duration shows the elapsed time instead.
    """

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        """Return the text of the column."""
        expected_s: float | None = task.fields.get("expected_s")
        elapsed_s = task.elapsed or 0.0
        left_s = task.time_remaining
        if left_s is None and expected_s is not None:
            left_s = max(0.0, expected_s - elapsed_s)
        if left_s is not None:
            text = f"{_clock(left_s)} left"
        else:
            text = f"{_clock(elapsed_s)} elapsed" if task.total is None else "-:-- left"
        return Text(text, style="progress.remaining")


def _clock(seconds: float) -> str:
    minutes, remaining_s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{remaining_s:02}" if hours else f"{minutes}:{remaining_s:02}"
