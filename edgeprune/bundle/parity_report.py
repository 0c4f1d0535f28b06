"""Parts of a manifest that compare the outputs of the shipped model with those of PyTorch."""

from __future__ import annotations

from edgeprune.bundle.schema_base import Count, Fraction, ManifestPart


class OutputParityReport(ManifestPart):
    """Difference of one output of the shipped model; see ``edgeprune.export.parity.OutputParity``.

    Attributes:
        ok: Whether the difference is within the limits of the target for this precision.
    """

    index: int
    max_error: float
    relative_error: float
    channel_error: float
    channel: int
    dimension: int
    ok: bool


class ParityReport(ManifestPart):
    """Differences between the shipped model and PyTorch on the same samples; see ``edgeprune.export.parity.Parity``."""

    max_error: float
    mean_error: float
    relative_error: float
    top1_agreement: Fraction | None
    samples: Count
    outputs: tuple[OutputParityReport, ...] = ()
