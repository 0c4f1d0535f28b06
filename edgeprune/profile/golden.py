"""What a shipped model must answer: a few samples, and its outputs where it was built."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeprune.errors import BundleError
from edgeprune.profile.result import GoldenCheck

Array = NDArray[Any]

NAME = "golden.npz"
"""In a bundle."""
SAMPLES = 4
_INPUT, _TOLERANCE, _OUTPUT = "input", "tolerance", "output_{}"
_INT8_TOLERANCE = 0.1
"""Kernels of other processors round some values of every layer the other way."""
_FLOAT_TOLERANCE = {"float32": 1e-3, "float16": 1e-2}


@dataclass(frozen=True)
class Golden:
    """Samples and what is expected of them.

    Attributes:
        inputs: (N, ...), scaled as in training.
        outputs: Each output (N, ...), in the order of the model.
        tolerance: Largest difference of an output, relative to the largest expected value of that output.
    """

    inputs: Array
    outputs: tuple[Array, ...]
    tolerance: float

    def save(self, path: Path) -> None:
        """Write it; the same values give the same bytes."""
        outputs: dict[str, Any] = {_OUTPUT.format(index): output for index, output in enumerate(self.outputs)}
        np.savez(path, **{_INPUT: self.inputs, _TOLERANCE: np.float64(self.tolerance), **outputs})

    @classmethod
    def load(cls, path: Path) -> Golden:
        """Read what ``save`` wrote.

        Raises:
            BundleError: It is something else.
        """
        try:
            stored = arrays(path)
            outputs = [stored[_OUTPUT.format(index)] for index in range(len(stored) - 2)]
            return cls(stored[_INPUT], tuple(outputs), float(stored[_TOLERANCE]))
        except (OSError, ValueError, TypeError, KeyError) as problem:
            raise BundleError(f"{path} holds no samples with outputs: {problem}") from problem

    def compare(self, found: Sequence[Array]) -> GoldenCheck:
        """Hold what a device answered against what is expected."""
        same_form = len(found) == len(self.outputs) and all(
            ours.size == theirs.size for ours, theirs in zip(self.outputs, found, strict=True)
        )
        if not same_form:
            return GoldenCheck(len(self.inputs), None, self.tolerance, 0.0)
        found = [_ordered(theirs, ours.shape) for ours, theirs in zip(self.outputs, found, strict=True)]
        errors = [_error(ours, theirs) for ours, theirs in zip(self.outputs, found, strict=True)]
        classes = [output.reshape(len(self.inputs), -1).argmax(1) for output in (self.outputs[0], found[0])]
        worst = None if not np.isfinite(errors).all() else max(errors)
        return GoldenCheck(len(self.inputs), worst, self.tolerance, float((classes[0] == classes[1]).mean()))


def arrays(path: Path) -> dict[str, Array]:
    """The arrays of an ``.npz`` file by name.

    Raises:
        ValueError: It is something else, or damaged.
        OSError: It cannot be read.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes())) as stored:
            return {name: stored[name] for name in stored.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, AttributeError) as problem:
        raise ValueError(str(problem)) from problem


def tolerance(precision: str) -> float:
    """What a model of this precision may differ by from one processor to another."""
    return _FLOAT_TOLERANCE.get(precision, _INT8_TOLERANCE)


def problems(checks: Mapping[str, GoldenCheck]) -> list[str]:
    """What is wrong, for people."""
    return [
        f"{name} answers something else than its bundle expects: {_how_far(check)}"
        for name, check in checks.items()
        if check.max_error is None or check.max_error > check.tolerance
    ]


def _how_far(check: GoldenCheck) -> str:
    if check.max_error is None:
        return "its outputs have another form, or are not finite"
    return f"an output is off by {check.max_error:.2g} of the largest, {check.tolerance:.2g} is allowed"


def _ordered(found: Array, shape: tuple[int, ...]) -> Array:
    """An output in the layout of the network: TFLite files have images as (N, H, W, C)."""
    if found.ndim == len(shape) == 4 and found.shape != shape and found.transpose(0, 3, 1, 2).shape == shape:
        found = found.transpose(0, 3, 1, 2)
    return np.reshape(found, shape)


def _error(expected: Array, found: Array) -> float:
    largest = float(np.abs(expected).max()) or 1.0
    return float(np.abs(found.astype(np.float64) - expected).max()) / largest
