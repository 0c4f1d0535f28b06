"""How far what was exported (ONNX, quantized, TFLite) is from the network it came from, on the same samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgeprune.errors import DataError, ParityError
from edgeprune.model.splits import Split
from edgeprune.progress import SILENT, Progress

Array = NDArray[np.floating]
Outputs = Array | Sequence[Array]
Predict = Callable[[Array], Outputs]
"""Inputs of some samples (N, ...) to their outputs, (N, ...) each."""

_TINY = float(np.finfo(np.float32).tiny)
ROUNDING = 1e-9
"""Accuracies are shares of whole samples; a difference of two may miss a limit it meets by as much."""


class Limits(Protocol):
    """What a target allows a form of a network.

    Attributes:
        max_error: Largest ``Parity.relative_error``.
        top1_agreement: Smallest ``Parity.top1_agreement``.
        accuracy_drop: Largest ``Comparison.drop``.
    """

    @property
    def max_error(self) -> float: ...

    @property
    def top1_agreement(self) -> float: ...

    @property
    def accuracy_drop(self) -> float: ...


@dataclass(frozen=True)
class Parity:
    """What a comparison found.

    Attributes:
        max_error: Largest absolute difference of any output value; infinite where one side is not finite.
        mean_error: Mean absolute difference over all output values.
        relative_error: ``max_error`` over the largest absolute reference value.
        top1_agreement: Share of samples whose largest value in the first output has the same index; 0..1.
        samples: How many were compared.
    """

    max_error: float
    mean_error: float
    relative_error: float
    top1_agreement: float
    samples: int


@dataclass(frozen=True)
class Comparison:
    """One form of a network against the network, on one split.

    Attributes:
        parity: Over all samples.
        accuracy: Top-1 share of the form, 0..1.
        reference_accuracy: Of the network.
    """

    parity: Parity
    accuracy: float
    reference_accuracy: float

    @property
    def drop(self) -> float:
        """Accuracy lost; negative where some was gained."""
        return self.reference_accuracy - self.accuracy


def compare(reference: Outputs, got: Outputs) -> Parity:
    """Compare outputs of two implementations.

    Args:
        reference: One array (N, ...) or one for each output, of the network the model came from.
        got: The same of the exported model.

    Raises:
        ParityError: Another number of outputs, or other shapes.
    """
    sums = _Sums()
    sums.add(_as_list(reference), _as_list(got))
    return sums.parity()


def compare_forms(
    reference: Predict, forms: Mapping[str, Predict], split: Split, *, batch_size: int = 64, progress: Progress = SILENT
) -> dict[str, Comparison]:
    """Compare every form of a network (ONNX, quantized ONNX, TFLite, ...) with it, on all samples of a split.

    Args:
        reference: The network itself.
        forms: By name.
        split: Samples with labels; each is read once and given to all.
        batch_size: Samples given at a time.
        progress: Advances by a sample.

    Raises:
        DataError: The split is empty.
        ParityError: A form gives another number of outputs, or other shapes.
    """
    if len(split) == 0:
        raise DataError("the split is empty: there is nothing to compare on")
    progress.start(len(split))
    sums, hits = {name: _Sums() for name in forms}, dict.fromkeys(forms, 0)
    reference_hits = 0
    for inputs, labels in split.batches(batch_size):
        samples, wanted = inputs.numpy(), labels.numpy()
        expected = _as_list(reference(samples))
        reference_hits += int((_classes(expected) == wanted).sum())
        for name, predict in forms.items():
            outputs = _as_list(predict(samples))
            sums[name].add(expected, outputs)
            hits[name] += int((_classes(outputs) == wanted).sum())
        progress.advance(len(wanted))
    return {
        name: Comparison(sums[name].parity(), hits[name] / len(split), reference_hits / len(split)) for name in forms
    }


def check(parity: Parity, *, max_error: float, top1_agreement: float) -> None:
    """Hold ``parity`` against a target's limits.

    Args:
        parity: What was found.
        max_error: Largest allowed ``relative_error``.
        top1_agreement: Smallest allowed ``top1_agreement``.

    Raises:
        ParityError: A limit is missed; says by how much.
    """
    missed = _missed(parity, max_error, top1_agreement)
    if missed:
        raise ParityError("the exported model does not compute what the network computes: " + "; ".join(missed))


def check_forms(found: Mapping[str, Comparison], limits: Mapping[str, Limits]) -> None:
    """Hold every form against its own limits.

    Args:
        found: By name, as ``compare_forms`` gives it.
        limits: Of each, by the same names.

    Raises:
        ParityError: Limits are missed; names every form, and by how much.
    """
    problems = []
    for name, comparison in found.items():
        allowed = limits[name]
        missed = _missed(comparison.parity, allowed.max_error, allowed.top1_agreement)
        if comparison.drop > allowed.accuracy_drop + ROUNDING:
            missed.append(
                f"its accuracy is {comparison.accuracy:.2%}, that of the network {comparison.reference_accuracy:.2%}; "
                f"parity.accuracy_drop allows {allowed.accuracy_drop:.2%}"
            )
        if missed:
            problems.append(f"{name}: " + "; ".join(missed))
    if problems:
        raise ParityError("what was exported does not compute what the network computes: " + "\n  ".join(problems))


def _missed(parity: Parity, max_error: float, top1_agreement: float) -> list[str]:
    missed = []
    if not parity.relative_error <= max_error:
        missed.append(
            f"an output is off by {parity.max_error:.3g}, which is {parity.relative_error:.3g} of the largest output; "
            f"parity.max_error allows {max_error:g}"
        )
    if not parity.top1_agreement >= top1_agreement:
        missed.append(
            f"{parity.top1_agreement:.2%} of {parity.samples} samples get the same class; "
            f"parity.top1_agreement asks for {top1_agreement:.2%}"
        )
    return missed


class _Sums:
    """What a comparison needs of the batches that went by."""

    def __init__(self) -> None:
        self._worst = self._largest = self._total = 0.0
        self._values = self._agreeing = self._samples = 0

    def add(self, references: list[Array], others: list[Array]) -> None:
        shapes = [value.shape for value in references], [value.shape for value in others]
        if shapes[0] != shapes[1]:
            raise ParityError(f"the exported model gives outputs of shape {shapes[1]}, the network {shapes[0]}")
        for reference, other in zip(references, others, strict=True):
            wanted, given = reference.astype(np.float64), other.astype(np.float64)
            finite = bool(np.isfinite(wanted).all() and np.isfinite(given).all())
            differences = np.abs(wanted - given) if finite else np.array([np.inf])
            self._worst = max(self._worst, float(differences.max(initial=0.0)))
            self._total += float(differences.sum())
            self._largest = max(self._largest, float(np.abs(wanted).max(initial=0.0)))
            self._values += wanted.size
        self._agreeing += int((_classes(references) == _classes(others)).sum())
        self._samples += len(references[0])

    def parity(self) -> Parity:
        finite = np.isfinite(self._worst)
        return Parity(
            max_error=self._worst,
            mean_error=self._total / max(1, self._values),
            relative_error=self._worst / max(self._largest, _TINY) if finite else float("inf"),
            top1_agreement=self._agreeing / max(1, self._samples),
            samples=self._samples,
        )


def _as_list(outputs: Outputs) -> list[Array]:
    return [outputs] if isinstance(outputs, np.ndarray) else list(outputs)


def _classes(outputs: list[Array]) -> NDArray[np.int64]:
    """The largest value's index in the first output, sample by sample."""
    classes: NDArray[np.int64] = outputs[0].reshape(len(outputs[0]), -1).argmax(axis=1)
    return classes
