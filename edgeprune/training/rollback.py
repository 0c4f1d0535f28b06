"""Number of rollbacks of a training run that diverges, and the learning rate after each."""

from __future__ import annotations

from pathlib import Path

from edgeprune.errors import TrainingError

ROLLBACKS = 3
_FACTOR = 0.5  # of the learning rate, at each rollback
_ADVICE = "Lower training.lr, or set training.gradient_clip or training.warmup_epochs"


def rate_factor(rollbacks: int) -> float:
    """Factor of the learning rate after so many rollbacks."""
    return _FACTOR**rollbacks


def check_rollbacks(rollbacks: int, problem: str, best: Path | None) -> None:
    """Check that another rollback is allowed.

    Args:
        rollbacks: Rollbacks so far.
        problem: What went wrong.
        best: File of the best network; None if no epoch gave a better one than before.

    Raises:
        TrainingError: There were ``ROLLBACKS`` already.
    """
    if rollbacks == ROLLBACKS:
        result = (
            "no epoch gave a better network than before" if best is None else f"the best network so far is in {best}"
        )
        raise TrainingError(f"{problem}, after {ROLLBACKS} rollbacks; {result}. {_ADVICE}")
