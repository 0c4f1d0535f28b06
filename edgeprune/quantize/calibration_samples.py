"""Real samples that calibrate a quantization: one at a time, checked before any work."""

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
    """Samples of a split, drawn by a seed and not augmented, the same at every pass; read from it in small batches.

    Attributes:
        split: Where they come from; best the training split, so that no figure on the others knows them.
        count: How many at most. Of a split that has fewer, those that fill whole batches of 32, or all below 32.
        seed: Of the draw.
    """

    split: Split
    count: int = 256
    seed: int = 0

    def __iter__(self) -> Iterator[Array]:
        """Each sample as (1, C, H, W) float32."""
        for batch in self._batches():
            for index in range(len(batch)):
                yield np.ascontiguousarray(batch[index : index + 1], np.float32)

    def check(self, shape: tuple[int, ...]) -> int:
        """Read them once; returns how many there are.

        Args:
            shape: That one of them must have: (C, H, W).

        Raises:
            DataError: There are none, one has another shape, is no float, or holds NaN or infinity.
        """
        seen = 0
        for batch in self._batches():
            if batch.shape[1:] != shape or not np.issubdtype(batch.dtype, np.floating):
                raise DataError(
                    f"calibration data: got samples of shape {batch.shape[1:]} and type {batch.dtype}; "
                    f"the model takes {shape}, float: give the data it was trained on, prepared in the same way"
                )
            finite = np.isfinite(batch).reshape(len(batch), -1).all(axis=1)
            if not finite.all():
                first = seen + int(np.flatnonzero(~finite)[0])
                raise DataError(
                    f"calibration data: sample {first} of those drawn with seed {self.seed} holds NaN or infinity; "
                    "ranges cannot be taken of it: mend or remove it"
                )
            seen += len(batch)
        return seen

    def _batches(self) -> Iterator[NDArray[Any]]:
        if self.count < 1 or len(self.split) == 0:
            raise DataError(
                f"calibration data: got {min(self.count, len(self.split))} samples; at least one is needed, "
                "some hundreds are better"
            )
        left = self.count
        drawn = Samples.of(self.split, count=self.count, batch_size=min(_READ_AT_ONCE, self.count), seed=self.seed)
        for args, _, _ in drawn:
            batch = args[0].numpy()[:left]
            left -= len(batch)
            yield batch
