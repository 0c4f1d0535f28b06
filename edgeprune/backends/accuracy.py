"""How accurate a model file is on its runtime, whichever that is."""

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
"""Losses of an evaluation; samples share one where there are more."""


@dataclass(frozen=True)
class Accuracy:
    """Results of a model on a split.

    Attributes:
        accuracy: Fraction of right labels, 0 to 1, ignored labels excluded; else the value of the recipe's metric.
        samples: Number of samples.
        correct: One bit for each sample, as ``numpy.packbits`` packs them. Empty unless one label of each
            sample counts.
        losses: Loss of each batch: the recipe's own, or the fraction of wrong labels where ``correct`` cannot hold it,
            scaled so that the mean over the samples is ``1 - accuracy``. Else empty.
        batch_size: Number of samples of a batch of ``losses``.
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
    """Fraction of labels that are the class of the largest score, over ``split``.

    Args:
        predict: Inputs of some samples (N, ...) to outputs, of which the first is scores (N, classes, ...).
        split: Samples with labels.
        path: Of the file, for messages.
        runtime: What runs it, for messages.
        samples: The first so many of the split; None: all.
        progress: Advances by a sample.

    Raises:
        DataError: The split is empty, its labels do not have the shape (N, ...) of the scores, or all are ignored.
        ModelError: ``predict`` fails, or an output is not finite.
    """
    total = len(split) if samples is None else min(samples, len(split))
    if total < 1:
        raise DataError("the split is empty: there is nothing to evaluate on")
    progress.start(total)
    right, counted = np.zeros(total, np.int64), np.zeros(total, np.int64)
    seen = 0
    for batch, classes in split.batches(min(_BATCH_SIZE, total)):
        inputs, labels = batch.numpy()[: total - seen], classes.numpy()[: total - seen]
        scores = predict(inputs)[0]
        check_shape(labels.shape, scores.shape, where=f"the accuracy of {path}")
        if not np.isfinite(scores).all():
            raise ModelError(f"{path} gives NaN or infinity on {runtime}")
        here = slice(seen, seen + len(labels))
        right[here] = _by_sample(scores.argmax(axis=1) == labels)
        counted[here] = _by_sample(labels != IGNORED)
        seen += len(labels)
        progress.advance(len(labels), accuracy=right.sum() / max(1, counted.sum()))
        if seen == total:
            break
    if not counted.any():
        raise DataError(f"there is nothing to evaluate on: all labels of the split are {IGNORED}, which is ignored")
    fraction = float(right.sum() / counted.sum())
    if (counted == 1).all():
        return Accuracy(fraction, total, np.packbits(right.astype(bool)).tobytes())
    size = -(-total // _MOST_LOSSES)
    errors = (counted - right) / counted.mean()
    losses = tuple(float(errors[start : start + size].mean()) for start in range(0, total, size))
    return Accuracy(fraction, total, losses=losses, batch_size=size)


def _by_sample(marked: Array) -> Array:
    total: Array = marked.reshape(len(marked), -1).sum(axis=1)
    return total
