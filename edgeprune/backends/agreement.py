"""Agreement of a microcontroller's kernels with LiteRT, whichever backend has the kernels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeprune.errors import ParityError
from edgeprune.tflite.litert_interpreter import Kernels

MOST_STEPS = 4
"""Both round what every operator gives, but not alike; MLPerf Tiny's own files differ by up to 3."""
_TOP1_AGREEMENT = 0.995


@dataclass(frozen=True)
class Agreement:
    """Agreement of the kernels of a microcontroller, run on this machine, with LiteRT on the same samples.

    Attributes:
        top1_agreement: See ``parity.Parity``; None where outputs are not scores of classes.
        worst_steps: Largest difference of any output value, in steps of its quantization; of a float output that joins
            quantized parts, in steps of the part.
        mean_steps: Mean absolute difference.
        samples: How many were compared.
        kernels: Of LiteRT: ``reference``, or ``optimized`` where it has no such for an operator.
        accuracy: Fraction of right labels of the samples with the kernels of the microcontroller; None without labels.
        litert_accuracy: The same on LiteRT.
    """

    top1_agreement: float | None
    worst_steps: int
    mean_steps: float
    samples: int
    kernels: Kernels
    accuracy: float | None = None
    litert_accuracy: float | None = None

    def check(self, path: Path, runtime: str, *, most_steps: int = MOST_STEPS) -> None:
        """Check that rounding explains the differences.

        Args:
            path: The file.
            runtime: Name of the runtime that has the kernels.
            most_steps: Difference that rounding may explain, in steps.

        Raises:
            ParityError: A value differs by more than ``most_steps``, or more than one sample in 200 (and more than a
                single one, which may be a tie) gets another class.
        """
        missed = []
        if self.worst_steps > most_steps:
            missed.append(f"an output differs by {self.worst_steps} steps, of which rounding explains {most_steps}")
        allowed = max(1, int((1 - _TOP1_AGREEMENT) * self.samples))
        if self.top1_agreement is not None and round((1 - self.top1_agreement) * self.samples) > allowed:
            missed.append(
                f"{self.top1_agreement:.2%} of the labels of {self.samples} samples get the same class, "
                f"{_TOP1_AGREEMENT:.1%} must"
            )
        if missed:
            raise ParityError(f"{path} gives something else on {runtime} than on LiteRT: {'; '.join(missed)}")
