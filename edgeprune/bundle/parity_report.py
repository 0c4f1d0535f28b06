"""Parts of a manifest that compare the outputs of the shipped model with those of PyTorch."""

from __future__ import annotations

from edgeprune.bundle.schema_base import Count, Fraction, ManifestPart


class OutputParityReport(ManifestPart):
    """Difference of one output of the shipped model; see ``edgeprune.export.parity.OutputParity``.

    Attributes:
        index: Index of the output.
        max_error: Largest absolute difference.
        relative_error: ``max_error`` divided by the largest absolute reference value of the output.
        channel_error: Largest error of a channel, divided by the largest absolute reference value of that channel.
        channel: Index of that channel.
        dimension: Dimension of that channel; 0 if the output has no channels.
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
    """Differences between the shipped model and PyTorch on the same samples.

    Attributes:
        max_error: Largest absolute difference of any output value.
        mean_error: Mean absolute difference over all output values.
        relative_error: Largest ``relative_error`` of an output.
        top1_agreement: Fraction of the samples with the same class; None if outputs are not logits of classes.
        samples: Number of compared samples.
        outputs: Error of each output.
    """

    max_error: float
    mean_error: float
    relative_error: float
    top1_agreement: Fraction | None
    samples: Count
    outputs: tuple[OutputParityReport, ...] = ()
