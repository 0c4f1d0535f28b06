"""Golden samples: a few inputs, and the outputs of the shipped model on the building machine."""

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
"""In a bundle."""
SAMPLES = 4
_MAX_BYTES = 1 << 30
"""Bytes of all arrays of a file together."""
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
        along: By precision, what the model answers in others that ship with it.
    """

    inputs: Array
    outputs: tuple[Array, ...]
    tolerance: float
    along: Mapping[str, Golden] = field(default_factory=dict)

    def of(self, precision: str | None) -> Golden:
        """Expected outputs of a model in ``precision``, such as ``float16``; None: the shipped precision."""
        return self if precision is None else self.along.get(precision, self)

    def save(self, path: Path) -> None:
        """Write it; the same values give the same bytes."""
        stored: dict[str, Any] = {_INPUT: self.inputs}
        for prefix, golden in {"": self, **{f"{name}.": other for name, other in self.along.items()}}.items():
            stored[f"{prefix}{_TOLERANCE}"] = np.float64(golden.tolerance)
            stored |= {f"{prefix}{_OUTPUT.format(index)}": output for index, output in enumerate(golden.outputs)}
        np.savez(path, **stored)

    @classmethod
    def load(cls, path: Path) -> Golden:
        """Read what ``save`` wrote.

        Raises:
            BundleError: It is something else.
        """
        try:
            stored = arrays(path)
            inputs = stored.pop(_INPUT)
            parts: dict[str, dict[str, Array]] = {}
            for name, value in stored.items():
                precision, _, what = name.rpartition(".")
                parts.setdefault(precision, {})[what] = value
            whole = {precision: cls(inputs, *_answers(part)) for precision, part in parts.items()}
            return replace(whole.pop(""), along=whole)
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
        classes = [output.argmax(min(1, output.ndim - 1)) for output in (self.outputs[0], found[0])]
        worst = None if not np.isfinite(errors).all() else max(errors)
        return GoldenCheck(len(self.inputs), worst, self.tolerance, float((classes[0] == classes[1]).mean()))


def arrays(path: Path) -> dict[str, Array]:
    """The arrays of an ``.npz`` file by name.

    Raises:
        ValueError: It is something else, damaged, or unpacks to more than 1 GiB.
        OSError: It cannot be read.
    """
    content = io.BytesIO(input_files.read_bytes(path, max_bytes=_MAX_BYTES))
    try:
        with zipfile.ZipFile(content) as packed:  # no member unpacks to more than it declares
            size = sum(member.file_size for member in packed.infolist())
        if size > _MAX_BYTES:
            raise ValueError(f"its arrays have {size:,} bytes, and at most {_MAX_BYTES:,} are read")
        content.seek(0)
        with np.load(content) as stored:
            return {name: stored[name] for name in stored.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, AttributeError, MemoryError) as problem:
        raise ValueError(str(problem)) from problem


def _answers(stored: Mapping[str, Array]) -> tuple[tuple[Array, ...], float]:
    """Outputs in their order, and the tolerance."""
    outputs = tuple(stored[_OUTPUT.format(index)] for index in range(len(stored) - 1))
    return outputs, float(stored[_TOLERANCE])


def tolerance(precision: str) -> float:
    """Allowed relative error between processors that compute in ``precision``."""
    return _FLOAT_TOLERANCE.get(precision, _INT8_TOLERANCE)


def problems(checks: Mapping[str, GoldenCheck]) -> list[str]:
    """Messages about models whose outputs differ from the expected ones."""
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
