"""Make the repairs that were chosen."""

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
        repairs: Of ``REPAIRS``.
        units: Of the dense program.
        removed: Mask of the units that go, (units,).
        samples: To repair with.
        seed: Of what is drawn.
        progress: Told of every step of a refit.
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
