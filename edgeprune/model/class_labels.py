"""Class labels for torch's cross entropy: one for each position, and one value that is ignored."""

from __future__ import annotations

from collections.abc import Sequence

from edgeprune.errors import DataError

IGNORED = -100
"""Label that the loss and the accuracy ignore: the default ``ignore_index`` of ``functional.cross_entropy``."""


def fit(labels: Sequence[int], outputs: Sequence[int]) -> bool:
    """Return whether the shape ``labels`` fits logits (N, classes, ...) of the shape ``outputs``."""
    return len(outputs) > 1 and tuple(labels) == (outputs[0], *outputs[2:])


def check_shape(labels: Sequence[int], outputs: Sequence[int], *, where: str) -> None:
    """Raise DataError unless labels have the shape (N, ...) of logits (N, classes, ...).

    Args:
        labels: Shape of the labels of a batch.
        outputs: Shape of the logits of the same batch.
        where: Origin of the labels, for the message.
    """
    if not fit(labels, outputs):
        raise DataError(
            f"{where}: expected labels of shape {(outputs[0], *outputs[2:])} for outputs of shape "
            f"{tuple(outputs)}, got {tuple(labels)}: give one integer for each position of the outputs in the data "
            "function, or set training.loss and training.metric for other labels"
        )
