"""Accuracy of a model on the samples of a split, on any runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeprune.backends.batching import Array
from edgeprune.errors import DataError, ModelError
from edgeprune.model.class_labels import IGNORED, check_shape
from edgeprune.progress import SILENT, Progress

if TYPE_CHECKING:
    from edgeprune.model.splits import Split

_BATCH_SIZE = 256
_MOST_LOSSES = 1 << 16
"""Largest number of losses of an evaluation. A larger split gets one loss for each batch of samples."""


@dataclass(frozen=True)
class Accuracy:
    """Accuracy of a model on a split.

    Attributes:
        accuracy: Fraction of correct labels, 0 to 1, without ignored labels, or the value of the recipe's metric.
        samples: Number of samples.
        correct: One bit for each sample, packed by ``numpy.packbits``: whether its label is correct. Empty unless
            each sample has exactly one label that is not ignored.
        losses: Loss of each batch, if ``correct`` is empty: the recipe's own, or the fraction of wrong labels, scaled
            so that the mean over the samples is ``1 - accuracy``.
        batch_size: Number of samples for each value of ``losses``.
    """

    accuracy: float
    samples: int
    correct: bytes = b""
    losses: tuple[float, ...] = ()
    batch_size: int = 1


def accuracy(
    predict: Callable[[Array], list[Array]],
    split: Split,
    *,
    path: Path,
    runtime: str,
    samples: int | None = None,
    progress: Progress = SILENT,
) -> Accuracy:
    """Evaluate the fraction of labels in ``split`` that equal the class of the largest score.

    Args:
        predict: Function of inputs (N, ...) that returns the outputs. The first are scores (N, classes, ...).
        split: Samples with labels.
        path: Path of the file, for messages.
        runtime: Name of the runtime, for messages.
        samples: Number of samples from the start of the split; None for all.
        progress: Progress indicator, which advances by one for each sample.

    Raises:
        DataError: The split is empty, its labels do not have the shape (N, ...) of the scores, or all are ignored.
        ModelError: ``predict`` fails, or an output is not finite.
    """
    total = len(split) if samples is None else min(samples, len(split))
    if total < 1:
        raise DataError("the split for the evaluation is empty: it must have at least one sample")
    progress.start(total)
    correct, counted = np.zeros(total, np.int64), np.zeros(total, np.int64)
    done = 0
    for batch, classes in split.batches(min(_BATCH_SIZE, total)):
        inputs, labels = batch.numpy()[: total - done], classes.numpy()[: total - done]
        scores = predict(inputs)[0]
        check_shape(labels.shape, scores.shape, where=f"the accuracy of {path}")
        if not np.isfinite(scores).all():
            raise ModelError(f"{path} must have finite outputs, but returns NaN or infinity on {runtime}")
        rows = slice(done, done + len(labels))
        correct[rows] = _by_sample(scores.argmax(axis=1) == labels)
        counted[rows] = _by_sample(labels != IGNORED)
        done += len(labels)
        progress.advance(len(labels), accuracy=correct.sum() / max(1, counted.sum()))
        if done == total:
            break
    if not counted.any():
        raise DataError(
            f"all labels of the split for the evaluation are {IGNORED}, which is ignored: label some samples"
        )
    fraction = float(correct.sum() / counted.sum())
    if (counted == 1).all():
        return Accuracy(fraction, total, np.packbits(correct.astype(bool)).tobytes())
    size = -(-total // _MOST_LOSSES)
    errors = (counted - correct) / counted.mean()
    losses = tuple(float(errors[start : start + size].mean()) for start in range(0, total, size))
    return Accuracy(fraction, total, losses=losses, batch_size=size)


def _by_sample(flags: Array) -> Array:
    total: Array = flags.reshape(len(flags), -1).sum(axis=1)
    return total
