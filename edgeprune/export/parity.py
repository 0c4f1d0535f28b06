"""How far what was exported (ONNX, quantized, TFLite) is from the network it came from, on the same samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgeprune.errors import DataError, ParityError
from edgeprune.export.parity_result import Comparison, Limits, OutputParity, Parity
from edgeprune.model.class_labels import IGNORED, check_shape
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
_SMALLEST_CHANNEL = 1e-4
"""Channels whose values are smaller, relative to the largest of the output, count as if they were as large."""


def compare(reference: Outputs, got: Outputs, *, classes: bool = True) -> Parity:
    """Compare outputs of two implementations.

    Args:
        reference: One array (N, ...) or one for each output, of the network the model came from.
        got: The same of the exported model.
        classes: The first output is logits of classes, (N, classes, ...).

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
        classes: The first output is logits of classes (N, classes, ...), and labels are classes (N, ...).
        samples: The first so many of the split; None: all.
        batch_size: Samples given at a time.
        progress: Advances by a sample.

    Raises:
        DataError: The split is empty, or labels do not have the shape (N, ...) of the logits.
        ParityError: A form gives another number of outputs, or other shapes.
    """
    if len(split) == 0:
        raise DataError("the split is empty: there is nothing to compare on")
    count = len(split) if samples is None else min(samples, len(split))
    progress.start(count)
    left, counted = count, 0
    sums, hits = {name: _Sums(classes) for name in forms}, dict.fromkeys((_REFERENCE, *forms), 0)
    for inputs, labels in split.batches(batch_size):
        given = inputs.numpy()[:left]
        expected = _as_list(reference(given))
        outputs = {name: _as_list(predict(given)) for name, predict in forms.items()}
        for name, found in outputs.items():
            sums[name].add(expected, found)
        if classes:
            known = labels[:left].numpy()
            check_shape(known.shape, expected[0].shape, where="the comparison of exported models")
            counted += int((known != IGNORED).sum())
            for name, found in {_REFERENCE: expected, **outputs}.items():
                hits[name] += int((_classes(found) == known).sum())
        left -= len(given)
        progress.advance(len(given))
        if not left:
            break
    accuracies = {name: right / max(1, counted) if classes else None for name, right in hits.items()}
    return {name: Comparison(sums[name].parity(), accuracies[name], accuracies[_REFERENCE]) for name in forms}


def check(parity: Parity, *, max_error: float, top1_agreement: float, channel_error: float = math.inf) -> None:
    """Hold ``parity`` against a target's limits.

    Args:
        parity: What was found.
        max_error: Largest allowed ``relative_error`` of every output.
        channel_error: Largest allowed ``channel_error`` of every output.
        top1_agreement: Smallest allowed ``top1_agreement``, where there is one.

    Raises:
        ParityError: A limit is missed; says by how much.
    """
    missed = _missed(parity, max_error, channel_error, top1_agreement)
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
        missed = _missed(comparison.parity, allowed.max_error, allowed.channel_error, allowed.top1_agreement)
        if comparison.drop > allowed.accuracy_drop + ROUNDING:
            missed.append(
                f"its accuracy is {comparison.accuracy:.2%}, that of the network {comparison.reference_accuracy:.2%}; "
                f"parity.accuracy_drop allows {allowed.accuracy_drop:.2%}"
            )
        if missed:
            problems.append(f"{name}: " + "; ".join(missed))
    if problems:
        raise ParityError("what was exported does not compute what the network computes: " + "\n  ".join(problems))


def _missed(parity: Parity, max_error: float, channel_error: float, top1_agreement: float) -> list[str]:
    limits = {"max_error": max_error, "channel_error": channel_error}
    missed = [problem for output in parity.outputs for problem in output.missed(**limits)]
    if parity.top1_agreement is not None and not parity.top1_agreement >= top1_agreement:
        missed.append(
            f"{parity.top1_agreement:.2%} of the labels of {parity.samples} samples get the same class; "
            f"parity.top1_agreement asks for {top1_agreement:.2%}"
        )
    return missed


class _Sums:
    """Running sums of a comparison over batches."""

    def __init__(self, classes: bool) -> None:
        self._of_classes = classes
        self._total = 0.0
        self._errors: list[_Errors] = []
        self._values = self._agreeing = self._decisions = self._samples = 0

    def add(self, references: list[Array], others: list[Array]) -> None:
        shapes = [value.shape for value in references], [value.shape for value in others]
        if shapes[0] != shapes[1]:
            raise ParityError(f"the exported model gives outputs of shape {shapes[1]}, the network {shapes[0]}")
        self._errors = self._errors or [_Errors(reference.shape) for reference in references]
        for errors, reference, other in zip(self._errors, references, others, strict=True):
            wanted, given = reference.astype(np.float64), other.astype(np.float64)
            same = (wanted == given) & (wanted != np.inf)  # masked logits are -inf; what overflowed never passes
            with np.errstate(invalid="ignore"):
                differences = np.where(same, 0.0, np.abs(wanted - given))
            differences = np.where(np.isfinite(differences), differences, np.inf)
            errors.add(np.where(np.isfinite(wanted), np.abs(wanted), 0.0), differences)
            self._total += float(differences.sum())
            self._values += wanted.size
        if self._of_classes:
            same_class = _classes(references) == _classes(others)
            self._agreeing += int(same_class.sum())
            self._decisions += same_class.size
        self._samples += len(references[0])

    def parity(self) -> Parity:
        outputs = tuple(errors.parity(index) for index, errors in enumerate(self._errors))
        return Parity(
            max_error=max((output.max_error for output in outputs), default=0.0),
            mean_error=self._total / max(1, self._values),
            relative_error=max((output.relative_error for output in outputs), default=0.0),
            top1_agreement=self._agreeing / max(1, self._decisions) if self._of_classes else None,
            samples=self._samples,
            outputs=outputs,
        )


class _Errors:
    """Largest error and largest reference value of each channel of one output."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._error = self._largest = 0.0
        self._channels = {
            dim: (np.zeros(shape[dim]), np.zeros(shape[dim]))
            for dim in sorted({1, len(shape) - 1})
            if 0 < dim < len(shape)
        }

    def add(self, magnitudes: Array, differences: Array) -> None:
        self._error = max(self._error, float(differences.max(initial=0.0)))
        self._largest = max(self._largest, float(magnitudes.max(initial=0.0)))
        for dim, (error, largest) in self._channels.items():
            others = tuple(other for other in range(differences.ndim) if other != dim)
            np.maximum(error, differences.max(axis=others, initial=0.0), out=error)
            np.maximum(largest, magnitudes.max(axis=others, initial=0.0), out=largest)

    def parity(self, index: int) -> OutputParity:
        relative = self._error / max(self._largest, _TINY)
        worst = (relative, 0, 0)
        smallest = max(_SMALLEST_CHANNEL * self._largest, _TINY)
        for dim, (error, largest) in self._channels.items():
            each = error / np.maximum(largest, smallest)
            if each.size and each.max() > worst[0]:
                worst = (float(each.max()), int(each.argmax()), dim)
        return OutputParity(index, self._error, relative, *worst)


def _as_list(outputs: Outputs) -> list[Array]:
    return [outputs] if isinstance(outputs, np.ndarray) else list(outputs)


def _classes(outputs: list[Array]) -> NDArray[np.int64]:
    """Classes of the largest logits of the first output (N, classes, ...), (N, ...)."""
    classes: NDArray[np.int64] = outputs[0].argmax(axis=1)
    return classes
