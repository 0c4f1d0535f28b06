"""Results and limits of a comparison of an exported network with the original."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Limits(Protocol):
    """Limits of a target on the errors of an exported model.

    Attributes:
        max_error: Largest ``OutputParity.relative_error`` of every output.
        channel_error: Largest ``OutputParity.channel_error`` of every output.
        top1_agreement: Smallest ``Parity.top1_agreement``.
        accuracy_drop: Largest ``Comparison.drop``.
    """

    @property
    def max_error(self) -> float: ...

    @property
    def channel_error(self) -> float: ...

    @property
    def top1_agreement(self) -> float: ...

    @property
    def accuracy_drop(self) -> float: ...


@dataclass(frozen=True)
class OutputParity:
    """Error of one output, over all samples.

    Channels are the entries of dimension 1 and of the last dimension, because a detector may return (N, 6, anchors) or
    (N, anchors, 6). An output may contain parts with different ranges, such as boxes in pixels and scores. An error
    that is small for the largest value may be large for a channel.

    Attributes:
        index: Index of the output.
        max_error: Largest absolute difference; infinite if a value is not finite.
        relative_error: ``max_error`` divided by the largest absolute reference value of the output.
        channel_error: Largest error of a channel, divided by the largest absolute reference value of that channel.
        channel: Index of that channel.
        dimension: Dimension of that channel; 0 if the output has no channels.
    """

    index: int
    max_error: float
    relative_error: float
    channel_error: float
    channel: int
    dimension: int

    def missed(self, *, max_error: float, channel_error: float) -> list[str]:
        """Describe the limits that this output exceeds; empty if it meets both."""
        problems = []
        if not self.relative_error <= max_error:
            problems.append(
                f"output {self.index} differs by {self.max_error:.3g}, which is {self.relative_error:.3g} of its "
                "largest value; "
                f"parity.max_error allows {max_error:g}"
            )
        if not self.channel_error <= channel_error:
            problems.append(
                f"output {self.index} differs by {self.channel_error:.3g} of the largest value of channel "
                f"{self.channel} (of dimension {self.dimension}); {channel_error:g} is allowed"
            )
        return problems


@dataclass(frozen=True)
class Parity:
    """Result of a comparison.

    Attributes:
        max_error: Largest absolute difference of any output value; infinite if a value is not finite.
        mean_error: Mean absolute difference over all output values.
        relative_error: Largest ``relative_error`` of an output.
        top1_agreement: Fraction of the samples (of the positions, for outputs (N, classes, ...)) whose largest value in
            the first output has the same index, 0..1; None if outputs are not logits of classes.
        samples: Number of compared samples.
        outputs: Error of each output.
    """

    max_error: float
    mean_error: float
    relative_error: float
    top1_agreement: float | None
    samples: int
    outputs: tuple[OutputParity, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Comparison of a variant with the original network on a split.

    Attributes:
        parity: Differences of the outputs over all samples.
        accuracy: Fraction of correct labels of the variant, 0..1; None if outputs are not logits of classes.
        reference_accuracy: Fraction of correct labels of the network, 0..1; None if outputs are not logits.
    """

    parity: Parity
    accuracy: float | None
    reference_accuracy: float | None

    @property
    def drop(self) -> float:
        """Accuracy drop; negative for a gain, 0 if there are no accuracies."""
        return (self.reference_accuracy or 0.0) - (self.accuracy or 0.0)
