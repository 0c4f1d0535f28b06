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
_REFERENCE = ""


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
        relative_error: Largest error of an output over its largest absolute reference value; of several the worst.
        top1_agreement: Share of samples whose largest value in the first output has the same index, 0..1; None where
            outputs are no logits of classes.
        samples: How many were compared.
    """

    max_error: float
    mean_error: float
    relative_error: float
    top1_agreement: float | None
    samples: int


@dataclass(frozen=True)
class Comparison:
    """One form of a network against the network, on one split.

    Attributes:
        parity: Over all samples.
        accuracy: Top-1 share of the form, 0..1; None where outputs are no logits of classes.
        reference_accuracy: Of the network.
    """

    parity: Parity
    accuracy: float | None
    reference_accuracy: float | None

    @property
    def drop(self) -> float:
        """Accuracy lost; negative where some was gained, 0 where there is none."""
        return (self.reference_accuracy or 0.0) - (self.accuracy or 0.0)


def compare(reference: Outputs, got: Outputs, *, classes: bool = True) -> Parity:
    """Compare outputs of two implementations.

    Args:
        reference: One array (N, ...) or one for each output, of the network the model came from.
        got: The same of the exported model.
        classes: The first output is logits of classes.

    Raises:
        ParityError: Another number of outputs, or other shapes.
    """
    sums = _Sums(classes)
    sums.add(_as_list(reference), _as_list(got))
    return sums.parity()


def compare_forms(
    reference: Predict,
    forms: Mapping[str, Predict],
    split: Split,
    *,
    classes: bool = True,
    samples: int | None = None,
    batch_size: int = 64,
    progress: Progress = SILENT,
) -> dict[str, Comparison]:
    """Compare every form of a network (ONNX, quantized ONNX, TFLite, ...) with it, on all samples of a split.

    Args:
        reference: The network itself.
        forms: By name.
        split: Samples with labels; each is read once and given to all.
        classes: The first output is logits of classes, and labels are classes.
        samples: The first so many of the split; None: all.
        batch_size: Samples given at a time.
        progress: Advances by a sample.

    Raises:
        DataError: The split is empty.
        ParityError: A form gives another number of outputs, or other shapes.
    """
    if len(split) == 0:
        raise DataError("the split is empty: there is nothing to compare on")
    count = len(split) if samples is None else min(samples, len(split))
    progress.start(count)
    left = count
    sums, hits = {name: _Sums(classes) for name in forms}, dict.fromkeys((_REFERENCE, *forms), 0)
    for inputs, labels in split.batches(batch_size):
        given = inputs.numpy()[:left]
        expected = _as_list(reference(given))
        outputs = {name: _as_list(predict(given)) for name, predict in forms.items()}
        for name, found in outputs.items():
            sums[name].add(expected, found)
        if classes:
            for name, found in {_REFERENCE: expected, **outputs}.items():
                hits[name] += int((_classes(found) == labels[:left].numpy()).sum())
        left -= len(given)
        progress.advance(len(given))
        if not left:
            break
    accuracies = {name: right / count if classes else None for name, right in hits.items()}
    return {name: Comparison(sums[name].parity(), accuracies[name], accuracies[_REFERENCE]) for name in forms}


def check(parity: Parity, *, max_error: float, top1_agreement: float) -> None:
    """Hold ``parity`` against a target's limits.

    Args:
        parity: What was found.
        max_error: Largest allowed ``relative_error``.
        top1_agreement: Smallest allowed ``top1_agreement``, where there is one.

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
            f"an output is off by {parity.max_error:.3g}; relative to its largest value one is off by "
            f"{parity.relative_error:.3g}, parity.max_error allows {max_error:g}"
        )
    if parity.top1_agreement is not None and not parity.top1_agreement >= top1_agreement:
        missed.append(
            f"{parity.top1_agreement:.2%} of {parity.samples} samples get the same class; "
            f"parity.top1_agreement asks for {top1_agreement:.2%}"
        )
    return missed


class _Sums:
    """What a comparison needs of the batches that went by."""

    def __init__(self, classes: bool) -> None:
        self._of_classes = classes
        self._total = 0.0
        self._errors: list[tuple[float, float]] = []  # the largest one, and the largest value, by output
        self._values = self._agreeing = self._samples = 0

    def add(self, references: list[Array], others: list[Array]) -> None:
        shapes = [value.shape for value in references], [value.shape for value in others]
        if shapes[0] != shapes[1]:
            raise ParityError(f"the exported model gives outputs of shape {shapes[1]}, the network {shapes[0]}")
        self._errors = self._errors or [(0.0, 0.0)] * len(references)
        for index, (reference, other) in enumerate(zip(references, others, strict=True)):
            wanted, given = reference.astype(np.float64), other.astype(np.float64)
            finite = bool(np.isfinite(wanted).all() and np.isfinite(given).all())
            differences = np.abs(wanted - given) if finite else np.array([np.inf])
            error, largest = self._errors[index]
            self._errors[index] = (
                max(error, float(differences.max(initial=0.0))),
                max(largest, float(np.abs(wanted).max(initial=0.0))),
            )
            self._total += float(differences.sum())
            self._values += wanted.size
        if self._of_classes:
            self._agreeing += int((_classes(references) == _classes(others)).sum())
        self._samples += len(references[0])

    def parity(self) -> Parity:
        worst = max((error for error, _ in self._errors), default=0.0)
        relative = max((error / max(largest, _TINY) for error, largest in self._errors), default=0.0)
        return Parity(
            max_error=worst,
            mean_error=self._total / max(1, self._values),
            relative_error=relative if np.isfinite(worst) else float("inf"),
            top1_agreement=self._agreeing / max(1, self._samples) if self._of_classes else None,
            samples=self._samples,
        )


def _as_list(outputs: Outputs) -> list[Array]:
    return [outputs] if isinstance(outputs, np.ndarray) else list(outputs)


def _classes(outputs: list[Array]) -> NDArray[np.int64]:
    """The largest value's index in the first output, sample by sample."""
    classes: NDArray[np.int64] = outputs[0].reshape(len(outputs[0]), -1).argmax(axis=1)
    return classes
