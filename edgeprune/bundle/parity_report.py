"""Parts of a manifest about the outputs of the shipped model beside those of PyTorch."""

from __future__ import annotations

from edgeprune.bundle.schema_base import Count, ManifestPart, Share


class OutputParityReport(ManifestPart):
    """One output of the shipped model; see ``edgeprune.export.parity.OutputParity``.

    Attributes:
        ok: Whether the output keeps the target's limits for this precision.
    """

    index: int
    max_error: float
    relative_error: float
    channel_error: float
    channel: int
    dimension: int
    ok: bool


class ParityReport(ManifestPart):
    """Differences of the shipped model from PyTorch on the same samples; see ``edgeprune.export.parity.Parity``."""

    max_error: float
    mean_error: float
    relative_error: float
    top1_agreement: Share | None
    samples: Count
    outputs: tuple[OutputParityReport, ...] = ()
