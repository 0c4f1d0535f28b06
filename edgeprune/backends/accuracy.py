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
    """Results of a model on a split.

    Attributes:
        accuracy: Fraction of samples with the right class, 0 to 1; else the value of the recipe's metric.
        samples: Number of samples.
        correct: One bit for each sample, as ``numpy.packbits`` packs them; empty for a model that is not a classifier.
        losses: Loss of each batch, where a loss of the recipe's own is all there is to go by; else empty.
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
    correct: list[Array] = []
    hits, seen = 0, 0
    for batch, classes in split.batches(min(_BATCH_SIZE, total)):
        inputs, labels = batch.numpy()[: total - seen], classes.numpy()[: total - seen]
        scores = predict(inputs)[0].reshape(len(labels), -1)
        if not np.isfinite(scores).all():
            raise ModelError(f"{path} gives NaN or infinity on {runtime}")
        correct.append(scores.argmax(axis=1) == labels)
        hits += int(correct[-1].sum())
        seen += len(labels)
        progress.advance(len(labels), accuracy=hits / seen)
        if seen == total:
            break
    return Accuracy(hits / seen, seen, np.packbits(np.concatenate(correct)).tobytes())
