"""Golden samples: a few inputs, and the outputs of the shipped model on the build machine."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeprune import input_files
from edgeprune.errors import BundleError
from edgeprune.profile.profile_result import GoldenCheck

Array = NDArray[Any]

NAME = "golden.npz"
"""Name of the file in a bundle."""
SAMPLES = 4
_MAX_BYTES = 1 << 30
"""Largest total size of the arrays of a file in bytes."""
_INPUT, _TOLERANCE, _OUTPUT = "input", "tolerance", "output_{}"
_INT8_TOLERANCE = 0.1
"""Tolerance of int8, whose kernels round some values of each layer differently on other processors."""
_FLOAT_TOLERANCE = {"float32": 1e-3, "float16": 1e-2}


@dataclass(frozen=True)
class Golden:
    """Samples and their expected outputs.

    Attributes:
        inputs: Samples (N, ...), preprocessed as in training.
        outputs: Expected outputs (N, ...), in the order of the model.
        tolerance: Largest allowed difference of an output, relative to the largest expected value of that output.
        other_precisions: Expected outputs in other precisions of the bundle, by precision.
    """

    inputs: Array
    outputs: tuple[Array, ...]
    tolerance: float
    other_precisions: Mapping[str, Golden] = field(default_factory=dict)

    def of(self, precision: str | None) -> Golden:
        """Return the expected outputs in ``precision``, such as ``float16``; None: the shipped precision."""
        return self if precision is None else self.other_precisions.get(precision, self)

    def save(self, path: Path) -> None:
        """Write the samples to ``path``; equal values give equal bytes."""
        stored: dict[str, Any] = {_INPUT: self.inputs}
        for prefix, golden in {
            "": self,
            **{f"{name}.": other for name, other in self.other_precisions.items()},
        }.items():
            stored[f"{prefix}{_TOLERANCE}"] = np.float64(golden.tolerance)
            stored |= {f"{prefix}{_OUTPUT.format(index)}": output for index, output in enumerate(golden.outputs)}
        np.savez(path, **stored)

    @classmethod
    def load(cls, path: Path) -> Golden:
        """Read a file that ``save`` wrote.

        Raises:
            BundleError: The file does not contain golden samples.
        """
        try:
            stored = arrays(path)
            inputs = stored.pop(_INPUT)
            by_precision: dict[str, dict[str, Array]] = {}
            for name, value in stored.items():
                precision, _, key = name.rpartition(".")
                by_precision.setdefault(precision, {})[key] = value
            goldens = {precision: cls(inputs, *_outputs(values)) for precision, values in by_precision.items()}
            return replace(goldens.pop(""), other_precisions=goldens)
        except (OSError, ValueError, TypeError, KeyError) as problem:
            raise BundleError(f"{path} is not a valid file of golden samples: {problem}") from problem

    def compare(self, outputs: Sequence[Array]) -> GoldenCheck:
        """Compare ``outputs`` of a device with the expected outputs."""
        same_shape = len(outputs) == len(self.outputs) and all(
            ours.size == theirs.size for ours, theirs in zip(self.outputs, outputs, strict=True)
        )
        if not same_shape:
            return GoldenCheck(len(self.inputs), None, self.tolerance, 0.0)
        outputs = [_ordered(theirs, ours.shape) for ours, theirs in zip(self.outputs, outputs, strict=True)]
        errors = [_error(ours, theirs) for ours, theirs in zip(self.outputs, outputs, strict=True)]
        classes = [output.argmax(min(1, output.ndim - 1)) for output in (self.outputs[0], outputs[0])]
        worst = None if not np.isfinite(errors).all() else max(errors)
        return GoldenCheck(len(self.inputs), worst, self.tolerance, float((classes[0] == classes[1]).mean()))


def arrays(path: Path) -> dict[str, Array]:
    """Return the arrays of an ``.npz`` file by name.

    Raises:
        ValueError: The file is damaged, not an ``.npz`` file, or larger than 1 GiB unpacked.
        OSError: The file cannot be read.
    """
    content = io.BytesIO(input_files.read_bytes(path, max_bytes=_MAX_BYTES))
    try:
        with zipfile.ZipFile(content) as packed:  # no member unpacks to more than it declares
            size = sum(member.file_size for member in packed.infolist())
        if size > _MAX_BYTES:
            raise ValueError(f"its arrays have {size:,} bytes, but the limit is {_MAX_BYTES:,}")
        content.seek(0)
        with np.load(content) as stored:
            return {name: stored[name] for name in stored.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, AttributeError, MemoryError) as problem:
        raise ValueError(str(problem)) from problem


def _outputs(stored: Mapping[str, Array]) -> tuple[tuple[Array, ...], float]:
    """Return the outputs in their order, and the tolerance."""
    outputs = tuple(stored[_OUTPUT.format(index)] for index in range(len(stored) - 1))
    return outputs, float(stored[_TOLERANCE])


def tolerance(precision: str) -> float:
    """Return the allowed relative error between processors that compute in ``precision``."""
    return _FLOAT_TOLERANCE.get(precision, _INT8_TOLERANCE)


def problems(checks: Mapping[str, GoldenCheck]) -> list[str]:
    """Return messages about models whose outputs differ from the expected ones."""
    return [
        f"outputs of {name} differ from those that its bundle expects: {_difference(check)}"
        for name, check in checks.items()
        if check.max_error is None or check.max_error > check.tolerance
    ]


def _difference(check: GoldenCheck) -> str:
    if check.max_error is None:
        return "the shapes differ, or values are not finite"
    return f"the error is {check.max_error:.2g} of the largest value, {check.tolerance:.2g} is allowed"


def _ordered(output: Array, shape: tuple[int, ...]) -> Array:
    """Return an output in the layout of the network, as TFLite files have images as (N, H, W, C)."""
    if output.ndim == len(shape) == 4 and output.shape != shape and output.transpose(0, 3, 1, 2).shape == shape:
        output = output.transpose(0, 3, 1, 2)
    return np.reshape(output, shape)


def _error(expected: Array, output: Array) -> float:
    largest = float(np.abs(expected).max()) or 1.0
    return float(np.abs(output.astype(np.float64) - expected).max()) / largest
