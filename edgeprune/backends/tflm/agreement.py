"""Whether TFLite Micro computes what LiteRT computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeprune.backends.feeding import Array, Inputs, named, portions
from edgeprune.backends.litert import Kernels, Session
from edgeprune.backends.tflm.interpreter import Interpreter
from edgeprune.errors import ModelError, ParityError
from edgeprune.export.tflite_file import Port
from edgeprune.progress import SILENT, Progress

_MOST_STEPS = 4
"""Both round what every operator gives, but not alike; MLPerf Tiny's own files differ by up to 3."""
_TOP1_AGREEMENT = 0.995


@dataclass(frozen=True)
class Agreement:
    """Of TFLite Micro with LiteRT, on the same samples.

    Attributes:
        top1_agreement: Share of samples whose largest value in the first output has the same index, 0..1; None where
            outputs are no scores of classes.
        worst_steps: Largest difference of any output value, in steps of its quantization.
        mean_steps: Mean absolute difference.
        samples: How many were compared.
        kernels: Of LiteRT: ``reference``, or ``optimized`` where it has no such for an operator.
        accuracy: Top-1 share of these samples on TFLite Micro, 0..1; None without labels.
        litert_accuracy: The same on LiteRT.
    """

    top1_agreement: float | None
    worst_steps: int
    mean_steps: float
    samples: int
    kernels: Kernels
    accuracy: float | None = None
    litert_accuracy: float | None = None

    def check(self, path: Path, *, most_steps: int = _MOST_STEPS) -> None:
        """See to it that rounding explains what was found of the file at ``path``.

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
                f"{self.top1_agreement:.2%} of {self.samples} samples get the same class, {_TOP1_AGREEMENT:.1%} must"
            )
        if missed:
            raise ParityError(f"{path} gives something else on TFLite Micro than on LiteRT: {'; '.join(missed)}")


def compare(
    path: Path,
    samples: Inputs,
    inputs: Sequence[Port] | None = None,
    outputs: Sequence[Port] | None = None,
    *,
    classes: bool = True,
    labels: Array | None = None,
    most_steps: int = _MOST_STEPS,
    progress: Progress = SILENT,
) -> Agreement:
    """Run the quantized file at ``path`` on TFLite Micro and on LiteRT, and hold one against the other.

    Args:
        path: Of the file.
        samples: Real ones (N, ...) in the layout of the ONNX file, see ``TfliteRuntime.predict``.
        inputs: See ``Interpreter``.
        outputs: See ``Interpreter``.
        classes: The first output is scores of classes.
        labels: Right classes of the samples, (N,).
        most_steps: That rounding may explain.
        progress: Advances by a sample.

    Raises:
        ModelError: An output is not quantized, or one of the two cannot run the file.
        ParityError: Rounding does not explain the differences, see ``Agreement.check``.
    """
    from edgeprune.export import parity  # which needs torch, as nothing else of TFLite Micro does

    micro = Interpreter(path, inputs, outputs)
    if not all(port.scale for port in micro.outputs):
        raise ModelError(f"{path} has outputs that are not quantized: their differences cannot be told in steps")
    session, kernels = _session(path, micro)
    feed = named(samples, [port.name for port in micro.inputs], path)
    count = len(next(iter(feed.values())))
    progress.start(count)
    steps: list[tuple[list[Array], list[Array]]] = []
    for portion, size in portions(feed, micro.inputs[0].batch_size):
        stored = micro.stored(list(portion.values()))
        wanted, got = (
            [port.moved(values)[:size].astype(np.float32) for port, values in zip(micro.outputs, found, strict=True)]
            for found in (session.run_stored(stored), micro.run_stored(stored))
        )
        steps.append((wanted, got))
        progress.advance(size)
    reference, other = (
        [np.concatenate(parts) for parts in zip(*side, strict=True)] for side in zip(*steps, strict=True)
    )
    found = parity.compare(reference, other, classes=classes)
    right = (None, None) if labels is None else (_accuracy(other[0], labels), _accuracy(reference[0], labels))
    agreement = Agreement(found.top1_agreement, int(found.max_error), found.mean_error, count, kernels, *right)
    agreement.check(path, most_steps=most_steps)
    return agreement


def _accuracy(scores: Array, labels: Array) -> float:
    return float((scores.reshape(len(labels), -1).argmax(1) == labels).mean())


def _session(path: Path, micro: Interpreter) -> tuple[Session, Kernels]:
    try:
        return Session(path, micro.inputs, micro.outputs, kernels="reference"), "reference"
    except ModelError:  # there is no reference kernel for CEIL and ELU
        return Session(path, micro.inputs, micro.outputs, kernels="optimized"), "optimized"
