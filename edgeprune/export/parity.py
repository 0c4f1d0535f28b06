"""Comparison of exported models (ONNX, quantized ONNX, TFLite) with the original network on the same samples."""

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
"""Function of inputs (N, ...) that returns the outputs (N, ...)."""

_TINY = float(np.finfo(np.float32).tiny)
ROUNDING = 1e-9
"""Tolerance for the rounding of a difference of two accuracies."""
_REFERENCE = ""
_SMALLEST_CHANNEL = 1e-4
"""Lower limit of the magnitude of a channel, relative to the largest value of the output."""


def compare(reference: Outputs, actual: Outputs, *, classes: bool = True) -> Parity:
    """Compare outputs of two implementations.

    Args:
        reference: Output (N, ...) of the original network, or list of outputs.
        actual: Output of the exported model, or list of outputs.
        classes: Whether the first output has logits of classes, (N, classes, ...).

    Raises:
        ParityError: The number or the shapes of the outputs differ.
    """
    sums = _Sums(classes)
    sums.add(_as_list(reference), _as_list(actual))
    return sums.parity()


def compare_variants(
    reference: Predict,
    variants: Mapping[str, Predict],
    split: Split,
    *,
    classes: bool = True,
    samples: int | None = None,
    batch_size: int = 64,
    progress: Progress = SILENT,
) -> dict[str, Comparison]:
    """Compare each variant of a network (ONNX, quantized ONNX, TFLite, ...) with the network on the samples of a split.

    Args:
        reference: Original network.
        variants: Variants by name.
        split: Samples with labels. Each sample is read once.
        classes: Whether the first output has logits of classes (N, classes, ...), and labels are classes (N, ...).
        samples: Number of samples from the start of the split; None for all.
        batch_size: Number of samples of a batch.
        progress: Progress indicator, which advances by one for each sample.

    Raises:
        DataError: The split is empty, or labels do not have the shape (N, ...) of the logits.
        ParityError: The number or the shapes of the outputs of a variant differ.
    """
    if len(split) == 0:
        raise DataError("the split for the comparison is empty: it must have at least one sample")
    count = len(split) if samples is None else min(samples, len(split))
    progress.start(count)
    remaining, label_count = count, 0
    sums, correct = {name: _Sums(classes) for name in variants}, dict.fromkeys((_REFERENCE, *variants), 0)
    for inputs, labels in split.batches(batch_size):
        batch = inputs.numpy()[:remaining]
        expected = _as_list(reference(batch))
        outputs = {name: _as_list(predict(batch)) for name, predict in variants.items()}
        for name, values in outputs.items():
            sums[name].add(expected, values)
        if classes:
            valid_labels = labels[:remaining].numpy()
            check_shape(valid_labels.shape, expected[0].shape, where="the comparison of exported models")
            label_count += int((valid_labels != IGNORED).sum())
            for name, values in {_REFERENCE: expected, **outputs}.items():
                correct[name] += int((_classes(values) == valid_labels).sum())
        remaining -= len(batch)
        progress.advance(len(batch))
        if not remaining:
            break
    accuracies = {name: hits / max(1, label_count) if classes else None for name, hits in correct.items()}
    return {name: Comparison(sums[name].parity(), accuracies[name], accuracies[_REFERENCE]) for name in variants}


def check(parity: Parity, *, max_error: float, top1_agreement: float, channel_error: float = math.inf) -> None:
    """Check ``parity`` against the limits of a target.

    Args:
        parity: Result of the comparison.
        max_error: Largest allowed ``relative_error`` of every output.
        channel_error: Largest allowed ``channel_error`` of every output.
        top1_agreement: Smallest allowed ``top1_agreement``, if outputs are logits.

    Raises:
        ParityError: A limit is not met. The message has the values.
    """
    problems = _limit_problems(parity, max_error, channel_error, top1_agreement)
    if problems:
        raise ParityError("the outputs of the exported model differ from those of the network: " + "; ".join(problems))


def check_variants(comparisons: Mapping[str, Comparison], limits: Mapping[str, Limits]) -> None:
    """Check every variant against its limits.

    Args:
        comparisons: Result of ``compare_variants``.
        limits: Limits of each variant, by the same names.

    Raises:
        ParityError: Limits are not met. The message names every variant and its values.
    """
    problems = []
    for name, comparison in comparisons.items():
        allowed = limits[name]
        variant_problems = _limit_problems(
            comparison.parity, allowed.max_error, allowed.channel_error, allowed.top1_agreement
        )
        if comparison.drop > allowed.accuracy_drop + ROUNDING:
            variant_problems.append(
                f"its accuracy is {comparison.accuracy:.2%}, and {comparison.reference_accuracy:.2%} for the network; "
                f"parity.accuracy_drop allows {allowed.accuracy_drop:.2%}"
            )
        if variant_problems:
            problems.append(f"{name}: " + "; ".join(variant_problems))
    if problems:
        raise ParityError("the outputs of exported models differ from those of the network: " + "\n  ".join(problems))


def _limit_problems(parity: Parity, max_error: float, channel_error: float, top1_agreement: float) -> list[str]:
    limits = {"max_error": max_error, "channel_error": channel_error}
    problems = [problem for output in parity.outputs for problem in output.missed(**limits)]
    if parity.top1_agreement is not None and not parity.top1_agreement >= top1_agreement:
        problems.append(
            f"{parity.top1_agreement:.2%} of the labels of {parity.samples} samples have the same class; "
            f"parity.top1_agreement requires {top1_agreement:.2%}"
        )
    return problems


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
            raise ParityError(f"the exported model returns the shapes {shapes[1]}, but the network {shapes[0]}")
        self._errors = self._errors or [_Errors(reference.shape) for reference in references]
        for errors, reference, other in zip(self._errors, references, others, strict=True):
            reference_values, values = reference.astype(np.float64), other.astype(np.float64)
            equal = (reference_values == values) & (
                reference_values != np.inf
            )  # masked logits are -inf; what overflowed never passes
            with np.errstate(invalid="ignore"):
                differences = np.where(equal, 0.0, np.abs(reference_values - values))
            differences = np.where(np.isfinite(differences), differences, np.inf)
            errors.add(np.where(np.isfinite(reference_values), np.abs(reference_values), 0.0), differences)
            self._total += float(differences.sum())
            self._values += reference_values.size
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
            channel_errors = error / np.maximum(largest, smallest)
            if channel_errors.size and channel_errors.max() > worst[0]:
                worst = (float(channel_errors.max()), int(channel_errors.argmax()), dim)
        return OutputParity(index, self._error, relative, *worst)


def _as_list(outputs: Outputs) -> list[Array]:
    return [outputs] if isinstance(outputs, np.ndarray) else list(outputs)


def _classes(outputs: list[Array]) -> NDArray[np.int64]:
    """Classes (N, ...) of the largest logits of the first output (N, classes, ...)."""
    classes: NDArray[np.int64] = outputs[0].argmax(axis=1)
    return classes
