"""Application of the selected repairs to a pruned network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from torch import Tensor

from edgeprune.graph import RewrittenModel, Units
from edgeprune.progress import SILENT, Progress
from edgeprune.repair.batchnorm_recalibration import recalibrate
from edgeprune.repair.reconstruct import Method, put, reconstruct
from edgeprune.statistics import Samples


class Repair:
    """Repairs that are computed from the dense weights and then written into the pruned network.

    Args:
        repairs: Names of the repairs, from ``REPAIRS``.
        units: Units of the dense program.
        removed: Mask of the removed units, (units,).
        samples: Samples from which the repairs are computed.
        seed: Seed of random draws. Defaults to 0.
        progress: Progress of a refit, in calls of the program.
    """

    def __init__(
        self,
        repairs: Sequence[str],
        units: Units,
        removed: Tensor,
        samples: Samples,
        *,
        seed: int = 0,
        progress: Progress = SILENT,
    ) -> None:
        self._repairs = repairs
        self._samples = samples
        self._tensors: dict[str, Tensor] = {}
        method: Method
        for method in get_args(Method):
            if method in repairs:
                self._tensors = reconstruct(units, removed, samples, method, seed=seed, progress=progress)

    def apply(self, rewritten: RewrittenModel) -> None:
        """Repair the pruned network in place."""
        put(self._tensors, rewritten)
        if "recalibrate" in self._repairs:
            recalibrate(rewritten.model, self._samples)
