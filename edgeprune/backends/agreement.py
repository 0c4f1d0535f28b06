"""Agreement of the kernels of a microcontroller with LiteRT."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeprune.errors import ParityError
from edgeprune.tflite.litert_interpreter import Kernels

MOST_STEPS = 4
"""Allowed difference, in quantization steps. The two runtimes round results differently.

The model files of MLPerf Tiny differ by up to 3 steps.
"""
_TOP1_AGREEMENT = 0.995


@dataclass(frozen=True)
class Agreement:
    """Comparison of microcontroller kernels, run on this machine, with LiteRT on the same samples.

    Attributes:
        top1_agreement: Same as ``Parity.top1_agreement``; None if outputs are not scores of classes.
        worst_steps: Largest difference of any output value, in quantization steps. If a float output joins quantized
            parts, the steps of each part apply.
        mean_steps: Mean absolute difference, in quantization steps.
        samples: Number of compared samples.
        kernels: Kernels of LiteRT: ``reference``, or ``optimized`` if an operator has no reference kernel.
        accuracy: Fraction of correct labels with the microcontroller kernels; None without labels.
        litert_accuracy: Fraction of correct labels with LiteRT; None without labels.
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
            path: Path of the file.
            runtime: Name of the runtime that has the kernels.
            most_steps: Allowed difference that rounding explains, in quantization steps.

        Raises:
            ParityError: A value differs by more than ``most_steps``, or the class differs for more than one sample in
                200. One differing sample is always allowed, because it may be a tie.
        """
        problems = []
        if self.worst_steps > most_steps:
            problems.append(f"an output differs by {self.worst_steps} quantization steps, allowed are {most_steps}")
        allowed = max(1, int((1 - _TOP1_AGREEMENT) * self.samples))
        if self.top1_agreement is not None and round((1 - self.top1_agreement) * self.samples) > allowed:
            problems.append(
                f"{self.top1_agreement:.2%} of the labels of {self.samples} samples have the same class, required are "
                f"{_TOP1_AGREEMENT:.1%}"
            )
        if problems:
            raise ParityError(f"{path} has other outputs on {runtime} than on LiteRT: {'; '.join(problems)}")
