"""Whether every offset and length in a TFLite file stays inside it: asked before anything follows them.

Generated code believes what a flatbuffer says, in C++ as in Python. Here each table, vtable, vector and string that can
be reached from the root is held against the bounds of the file first, as the ``Verifier`` of flatbuffers' C++ library
does. What the tables hold is taken from LiteRT's generated code, so that it is that of the schema which is installed.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from edgeprune.tflite.tflite_schema import schema

_IDENTIFIER = b"TFL3"
_HEADER_BYTES = 8
_MOST_REACHED = 8
"""Times the size of the file. Tables may be shared, but a few that share each other can unfold to any size."""

_TABLES: Mapping[tuple[str, str], str] = {
    ("Model", "OperatorCodes"): "OperatorCode",
    ("Model", "Subgraphs"): "SubGraph",
    ("Model", "Buffers"): "Buffer",
    ("Model", "Metadata"): "Metadata",
    ("Model", "SignatureDefs"): "SignatureDef",
    ("Model", "ExternalBufferGroups"): "ExternalBufferGroup",
    ("Model", "ExternalBuffers"): "ExternalBuffer",
    ("SignatureDef", "Inputs"): "TensorMap",
    ("SignatureDef", "Outputs"): "TensorMap",
    ("SubGraph", "Tensors"): "Tensor",
    ("SubGraph", "Operators"): "Operator",
    ("Tensor", "Quantization"): "QuantizationParameters",
    ("Tensor", "Sparsity"): "SparsityParameters",
    ("Tensor", "VariantTensors"): "VariantSubType",
    ("SparsityParameters", "DimMetadata"): "DimensionMetadata",
}
_UNIONS: Mapping[tuple[str, str], str] = {
    ("QuantizationParameters", "Details"): "QuantizationDetails",
    ("DimensionMetadata", "ArraySegments"): "SparseIndexVector",
    ("DimensionMetadata", "ArrayIndices"): "SparseIndexVector",
    ("Operator", "BuiltinOptions"): "BuiltinOptions",
    ("Operator", "BuiltinOptions2"): "BuiltinOptions2",
}


@dataclass(frozen=True)
class _Field:
    """One field of a table.

    Attributes:
        name: As in generated code.
        slot: Its place in the vtable.
        width: Bytes in the table.
        element: Bytes of one element of a vector; 0 for what is none.
        table: The table, or table of each element, that it leads to.
        union: The enumeration that says which table it leads to; its value is in the slot before.
        string: It leads to a string.
    """

    name: str
    slot: int
    width: int
    element: int = 0
    table: str = ""
    union: str = ""
    string: bool = False


class _Recorder:
    """Stands in for a flatbuffers builder: generated code tells it what it would write, and where."""

    def __init__(self) -> None:
        self.kind, self.slot, self.element = "", -1, 0

    def __getattr__(self, name: str) -> Any:
        kind = re.fullmatch(r"Prepend(\w+)Slot", name)
        if kind is None:
            raise AttributeError(name)

        def prepend(slot: int, *_: object) -> None:
            self.kind, self.slot = kind[1], slot

        return prepend

    def StartVector(self, element: int, *_: object) -> None:  # noqa: N802 - called by generated code
        self.element = element


_WIDTHS = {"Bool": 1, "Int8": 1, "Uint8": 1, "Int16": 2, "Uint16": 2, "Int32": 4, "Uint32": 4, "Float32": 4, "Int64": 8,
           "Uint64": 8, "Float64": 8, "UOffsetTRelative": 4}  # fmt: skip


@cache
def fields(table: str) -> tuple[_Field, ...]:
    """Fields of a table of the schema."""
    found = []
    for function in vars(schema):
        if not function.startswith(f"{table}Add"):
            continue
        name, recorder = function.removeprefix(f"{table}Add"), _Recorder()
        if not hasattr(getattr(schema, table), name):  # of another table whose name starts alike
            continue
        getattr(schema, function)(recorder, 0)
        width, slot = _WIDTHS[recorder.kind], recorder.slot
        if recorder.kind != "UOffsetTRelative":
            found.append(_Field(name, slot, width))
            continue
        start = getattr(schema, f"{table}Start{name}Vector", None)
        if start is not None:
            start(recorder, 0)
        key = (table, name)
        leads = key in _TABLES or key in _UNIONS
        found.append(
            _Field(
                name, slot, width, recorder.element, _TABLES.get(key, ""), _UNIONS.get(key, ""),
                string=not leads and start is None,
            )
        )  # fmt: skip
    return tuple(found)


@cache
def _members(union: str) -> Mapping[int, str]:
    return {value: name for name, value in vars(getattr(schema, union)).items() if not name.startswith("_") and value}


def verify(content: bytes) -> None:
    """See to it that everything in ``content`` lies inside it.

    Raises:
        ValueError: It has not the mark of a TFLite file, is cut off, an offset or length in it leads elsewhere, or a
            string in it is not UTF-8.
    """
    if len(content) < _HEADER_BYTES or content[4:_HEADER_BYTES] != _IDENTIFIER:
        raise ValueError(f"it does not have '{_IDENTIFIER.decode()}' at byte 4")
    try:
        _Walk(content).table(_uint(content, 0), "Model", "Model")
    except _OutOfBoundsError as problem:
        raise ValueError(f"damaged or cut off, {problem} of {len(content):,}") from None


class _OutOfBoundsError(Exception):
    pass


class _Walk:
    """One walk over a file; what it has reached is counted."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._left = _MOST_REACHED * len(content) + 1024

    def table(self, position: int, table: str, path: str) -> None:
        """Verify the table at ``position`` and all that it leads to."""
        self._inside(position, 4, path, 4)
        vtable = position - struct.unpack_from("<i", self._content, position)[0]
        self._inside(vtable, 4, f"the vtable of {path}", 2)
        vtable_bytes, table_bytes = struct.unpack_from("<HH", self._content, vtable)
        if vtable_bytes < 4 or vtable_bytes % 2 or table_bytes < 4:
            raise _OutOfBoundsError(f"the vtable of {path} is none")
        self._inside(vtable, vtable_bytes, f"the vtable of {path}")
        self._inside(position, table_bytes, path)
        kinds: dict[int, int] = {}
        for field in sorted(fields(table), key=lambda one: one.slot):
            entry = 4 + 2 * field.slot
            offset = struct.unpack_from("<H", self._content, vtable + entry)[0] if entry + 2 <= vtable_bytes else 0
            if not offset:
                continue
            inner = f"{path}.{field.name}"
            if offset < 4 or offset + field.width > table_bytes:
                raise _OutOfBoundsError(f"{inner} lies outside its table")
            place = position + offset
            self._inside(place, field.width, inner, field.width)
            if field.width == 1:
                kinds[field.slot] = self._content[place]
            if field.union:
                member = _members(field.union).get(kinds.get(field.slot - 1, 0))
                if member is not None:  # C++ does not follow the ones it does not know either
                    self.table(place + _uint(self._content, place), member, inner)
            elif field.string or field.element or field.table:
                self._follow(field, place + _uint(self._content, place), inner)

    def _follow(self, field: _Field, position: int, path: str) -> None:
        if field.string:
            size = self._vector(position, 1, path)
            self._inside(position + 4 + size, 1, path)
            if self._content[position + 4 + size]:
                raise _OutOfBoundsError(f"{path} does not end with a zero")
            _check_utf8(self._content[position + 4 : position + 4 + size], path)
        elif not field.element:
            self.table(position, field.table, path)
        else:
            count = self._vector(position, field.element, path)
            for index in range(count if field.table else 0):
                place = position + 4 + 4 * index
                self.table(place + _uint(self._content, place), field.table, f"{path}[{index}]")

    def _vector(self, position: int, element: int, path: str) -> int:
        self._inside(position, 4, path, 4)
        count = _uint(self._content, position)
        self._inside(position + 4, count * element, path, element)
        return count

    def _inside(self, position: int, size: int, path: str, alignment: int = 1) -> None:
        if position < 0 or position + size > len(self._content):
            raise _OutOfBoundsError(f"{path} would be at bytes {position:,} to {position + size:,}")
        if position % alignment:  # a Cortex-M0+ stops at such a load
            raise _OutOfBoundsError(f"{path} is at byte {position:,}, not at a multiple of {alignment}")
        self._left -= size
        if self._left < 0:
            raise _OutOfBoundsError(f"its tables share each other so often that they unfold beyond {path}")


def _check_utf8(text: bytes, path: str) -> None:
    """Refuse a string that is not UTF-8: runtimes return names as text, and would fail."""
    try:
        text.decode()
    except UnicodeDecodeError as problem:
        raise ValueError(f"{path} must be UTF-8, but is {text[:40]!r}: convert the model again") from problem


def _uint(content: bytes, position: int) -> int:
    return int(struct.unpack_from("<I", content, position)[0])
