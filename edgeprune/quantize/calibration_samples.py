"""Calibration samples for quantization, with checks of shape, type and values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeprune.errors import DataError
from edgeprune.model.splits import Split
from edgeprune.statistics import Samples

Array = NDArray[np.float32]

_READ_AT_ONCE = 32


@dataclass(frozen=True)
class CalibrationSamples:
    """Random samples of a split without augmentation. Each iteration returns the same samples, in small batches.

    Attributes:
        split: Source of the samples. The training split is best, because calibration then does not bias validation
            results.
        count: Maximum number of samples. If the split has fewer, those that fill whole batches of 32, or all below 32.
        seed: Seed of the random selection.
    """

    split: Split
    count: int = 256
    seed: int = 0

    def __iter__(self) -> Iterator[Array]:
        """Yield each sample as (1, C, H, W) float32."""
        for batch in self._batches():
            for index in range(len(batch)):
                yield np.ascontiguousarray(batch[index : index + 1], np.float32)

    def check(self, shape: tuple[int, ...]) -> int:
        """Read all samples once, check them and return their number.

        Args:
            shape: Expected shape of a sample, (C, H, W).

        Raises:
            DataError: The split has no samples, or a sample has a wrong shape or type, or contains NaN or infinity.
        """
        checked = 0
        for batch in self._batches():
            if batch.shape[1:] != shape or not np.issubdtype(batch.dtype, np.floating):
                raise DataError(
                    f"calibration data: got samples of shape {batch.shape[1:]} and type {batch.dtype}; "
                    f"the model needs {shape}, float: give data as in training, prepared in the same way"
                )
            finite = np.isfinite(batch).reshape(len(batch), -1).all(axis=1)
            if not finite.all():
                first = checked + int(np.flatnonzero(~finite)[0])
                raise DataError(
                    f"calibration data: sample {first} of those drawn with seed {self.seed} has NaN or infinity: "
                    "fix or remove it"
                )
            checked += len(batch)
        return checked

    def _batches(self) -> Iterator[NDArray[Any]]:
        if self.count < 1 or len(self.split) == 0:
            raise DataError(
                f"calibration data: got {min(self.count, len(self.split))} samples; at least one is needed, "
                "some hundreds are better"
            )
        remaining = self.count
        selection = Samples.of(self.split, count=self.count, batch_size=min(_READ_AT_ONCE, self.count), seed=self.seed)
        for args, _, _ in selection:
            batch = args[0].numpy()[:remaining]
            remaining -= len(batch)
            yield batch
