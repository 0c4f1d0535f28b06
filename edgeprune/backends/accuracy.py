"""How accurate a model file is on its runtime, whichever that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeprune.backends.feeding import Array
from edgeprune.errors import DataError, ModelError
from edgeprune.progress import SILENT, Progress

if TYPE_CHECKING:
    from edgeprune.model.splits import Split

_BATCH_SIZE = 256


@dataclass(frozen=True)
class Accuracy:
    """Of a model on a split.

    Attributes:
        accuracy: Top-1 share, 0..1.
        samples: How many.
    """

    accuracy: float
    samples: int


def accuracy(
    predict: Callable[[Array], list[Array]],
    split: Split,
    *,
    path: Path,
    runtime: str,
    samples: int | None = None,
    progress: Progress = SILENT,
) -> Accuracy:
    """Top-1 accuracy on ``split``.

    Args:
        predict: Inputs of some samples (N, ...) to outputs, scores of classes (N, ...) first.
        split: Samples with labels.
        path: Of the file, for messages.
        runtime: What runs it, for messages.
        samples: The first so many of the split; None: all.
        progress: Advances by a sample.

    Raises:
        DataError: The split is empty.
        ModelError: ``predict`` fails, or an output is not finite.
    """
    total = len(split) if samples is None else min(samples, len(split))
    if total < 1:
        raise DataError("the split is empty: there is nothing to evaluate on")
    progress.start(total)
    hits, seen = 0, 0
    for batch, classes in split.batches(min(_BATCH_SIZE, total)):
        inputs, labels = batch.numpy()[: total - seen], classes.numpy()[: total - seen]
        scores = predict(inputs)[0].reshape(len(labels), -1)
        if not np.isfinite(scores).all():
            raise ModelError(f"{path} gives NaN or infinity on {runtime}")
        hits += int((scores.argmax(axis=1) == labels).sum())
        seen += len(labels)
        progress.advance(len(labels), accuracy=hits / seen)
        if seen == total:
            break
    return Accuracy(hits / seen, seen)
