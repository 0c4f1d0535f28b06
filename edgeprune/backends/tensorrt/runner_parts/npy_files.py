"""Reader and writer of ``.npy`` and ``.npz`` files without numpy."""

from __future__ import annotations

import array
import ast
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from edgeprune.backends.tensorrt.runner_parts.engine_errors import EngineError

# Codes of the module array for numpy's names of types.
_TYPE_CODES = {"<f4": "f", "<f8": "d", "<i4": "i", "<i8": "q", "|i1": "b", "|u1": "B", "|b1": "B"}


class Array(NamedTuple):
    """Array of an ``.npy`` file. It replaces numpy, which may not be installed on the board.

    Attributes:
        descr: Name of the type in numpy, such as ``<f4``.
        shape: Length of every dimension.
        content: Raw values in C order.
    """

    descr: str
    shape: tuple[int, ...]
    content: bytes

    def values(self) -> list[float]:
        """All values in C order."""
        numbers = array.array(_TYPE_CODES[self.descr])
        numbers.frombytes(self.content)
        return [float(value) for value in numbers]


def parse_array(content: bytes) -> Array:
    """Parse the content of an ``.npy`` file.

    Raises:
        EngineError: The content is not an ``.npy`` file, its type is not supported, or it is in Fortran order.
    """
    wide = content[6:7] != b"\x01"  # from version 2 on
    start = 12 if wide else 10
    end = start + int.from_bytes(content[8:start], "little")
    try:
        header = ast.literal_eval(content[start:end].decode("latin1"))
        is_supported = content[:6] == b"\x93NUMPY" and not header["fortran_order"] and header["descr"] in _TYPE_CODES
    except (SyntaxError, ValueError, KeyError, TypeError):
        raise EngineError("expected an array in .npy format, found other content", exit_code=3) from None
    if not is_supported:
        raise EngineError(f"expected an array of numbers in C order, found {header}", exit_code=3)
    return Array(header["descr"], header["shape"], content[end:])


def read_samples(path: Path) -> list[bytes]:
    """Read the raw values of each sample (N, ...) of an ``.npy`` file, or of the array "input" in an ``.npz`` file.

    Raises:
        EngineError: The file holds no samples.
    """
    if zipfile.is_zipfile(str(path)):
        with zipfile.ZipFile(str(path)) as file:
            if "input.npy" not in file.namelist():
                raise EngineError(f"{path}: expected an array 'input', found {', '.join(file.namelist())}", exit_code=3)
            stored = parse_array(file.read("input.npy"))
    else:
        stored = parse_array(path.read_bytes())
    if 0 in (stored.shape or (0,)):
        raise EngineError(f"{path}: expected samples of shape (N, ...), found the shape {stored.shape}", exit_code=3)
    count = stored.shape[0]
    size = len(stored.content) // count
    return [stored.content[index * size : (index + 1) * size] for index in range(count)]


def read_expected(path: Path, precision: str) -> tuple[list[list[float]], float] | None:
    """Read the expected values of each output from golden.npz, and the allowed relative error.

    Return None if the file has no expected outputs.
    """
    if not zipfile.is_zipfile(str(path)):
        return None
    with zipfile.ZipFile(str(path)) as file:
        arrays = {name[: -len(".npy")]: file.read(name) for name in file.namelist()}
    precision_prefix = f"{precision.replace('fp', 'float')}."
    prefix = precision_prefix if f"{precision_prefix}tolerance" in arrays else ""
    if f"{prefix}tolerance" not in arrays:
        return None
    names = sorted((name for name in arrays if re.match(rf"{re.escape(prefix)}output_\d+$", name)), key=_number)
    (tolerance,) = parse_array(arrays[f"{prefix}tolerance"]).values()
    return [parse_array(arrays[name]).values() for name in names], tolerance


def _number(name: str) -> int:
    return int(name.rpartition("_")[2])


def write_outputs(path: Path, parts: Sequence[Sequence[tuple[tuple[int, ...], Sequence[float]]]]) -> None:
    """Write the outputs (N, ...) of samples to an ``.npz`` file."""
    with zipfile.ZipFile(path, "w") as file:
        for index, samples in enumerate(zip(*parts)):  # noqa: B905 - Python 3.8
            shape = (len(samples), *samples[0][0][1:])
            values = array.array("f", [value for _, sample in samples for value in sample])
            header = repr({"descr": "<f4", "fortran_order": False, "shape": shape})
            header += " " * (-(len(header) + 11) % 64) + "\n"
            begin = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
            file.writestr(f"output_{index}.npy", begin + header.encode("latin1") + values.tobytes())
