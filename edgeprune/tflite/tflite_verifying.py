"""Verification that all offsets and lengths in a TFLite file are within its bounds.

Generated code does not check a flatbuffer, neither in C++ nor in Python. Like the ``Verifier`` of flatbuffers' C++
library, this module first compares each table, vtable, vector and string that is reachable from the root with the
bounds of the file. It reads the fields of tables from LiteRT's generated code, so they match the installed schema.
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
"""Limit of the visited bytes, as a multiple of the file size. Shared tables could otherwise expand to any size."""

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
    """Field of a table.

    Attributes:
        name: Name in generated code.
        slot: Index in the vtable.
        width: Size in the table in bytes.
        element: Size of an element of a vector in bytes; 0 for other fields.
        table: Name of the table to which the field, or each element of its vector, refers.
        union: Name of the enumeration that selects the table of a union. Its value is in the slot before.
        string: Whether the field refers to a string.
    """

    name: str
    slot: int
    width: int
    element: int = 0
    table: str = ""
    union: str = ""
    string: bool = False


class _Recorder:
    """Replacement of a flatbuffers builder that records the type and slot of the field that generated code writes."""

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
    """Return the fields of a table of the schema."""
    result = []
    for function in vars(schema):
        if not function.startswith(f"{table}Add"):
            continue
        name, recorder = function.removeprefix(f"{table}Add"), _Recorder()
        if not hasattr(getattr(schema, table), name):  # of another table whose name starts alike
            continue
        getattr(schema, function)(recorder, 0)
        width, slot = _WIDTHS[recorder.kind], recorder.slot
        if recorder.kind != "UOffsetTRelative":
            result.append(_Field(name, slot, width))
            continue
        start = getattr(schema, f"{table}Start{name}Vector", None)
        if start is not None:
            start(recorder, 0)
        key = (table, name)
        leads = key in _TABLES or key in _UNIONS
        result.append(
            _Field(
                name, slot, width, recorder.element, _TABLES.get(key, ""), _UNIONS.get(key, ""),
                string=not leads and start is None,
            )
        )  # fmt: skip
    return tuple(result)


@cache
def _members(union: str) -> Mapping[int, str]:
    return {value: name for name, value in vars(getattr(schema, union)).items() if not name.startswith("_") and value}


def verify(content: bytes) -> None:
    """Verify that all references in ``content`` are within its bounds.

    Raises:
        ValueError: The content has no TFLite identifier or is truncated, an offset or length exceeds its bounds, or a
            string is not UTF-8.
    """
    if len(content) < _HEADER_BYTES or content[4:_HEADER_BYTES] != _IDENTIFIER:
        raise ValueError(f"expected '{_IDENTIFIER.decode()}' at byte 4")
    try:
        _Walk(content).table(_uint(content, 0), "Model", "Model")
    except _OutOfBoundsError as problem:
        raise ValueError(f"it is damaged or truncated: {problem} of {len(content):,}") from None


class _OutOfBoundsError(Exception):
    pass


class _Walk:
    """Traversal of a file, with a limit on the visited bytes."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._remaining = _MOST_REACHED * len(content) + 1024

    def table(self, position: int, table: str, path: str) -> None:
        """Verify the table at ``position`` and everything to which it refers."""
        self._check_bounds(position, 4, path, 4)
        vtable = position - struct.unpack_from("<i", self._content, position)[0]
        self._check_bounds(vtable, 4, f"the vtable of {path}", 2)
        vtable_bytes, table_bytes = struct.unpack_from("<HH", self._content, vtable)
        if vtable_bytes < 4 or vtable_bytes % 2 or table_bytes < 4:
            raise _OutOfBoundsError(f"the vtable of {path} is not valid")
        self._check_bounds(vtable, vtable_bytes, f"the vtable of {path}")
        self._check_bounds(position, table_bytes, path)
        kinds: dict[int, int] = {}
        for field in sorted(fields(table), key=lambda one: one.slot):
            entry = 4 + 2 * field.slot
            offset = struct.unpack_from("<H", self._content, vtable + entry)[0] if entry + 2 <= vtable_bytes else 0
            if not offset:
                continue
            inner = f"{path}.{field.name}"
            if offset < 4 or offset + field.width > table_bytes:
                raise _OutOfBoundsError(f"{inner} lies outside its table")
            position_of_field = position + offset
            self._check_bounds(position_of_field, field.width, inner, field.width)
            if field.width == 1:
                kinds[field.slot] = self._content[position_of_field]
            if field.union:
                member = _members(field.union).get(kinds.get(field.slot - 1, 0))
                if member is not None:  # C++ does not follow the ones it does not know either
                    self.table(position_of_field + _uint(self._content, position_of_field), member, inner)
            elif field.string or field.element or field.table:
                self._follow(field, position_of_field + _uint(self._content, position_of_field), inner)

    def _follow(self, field: _Field, position: int, path: str) -> None:
        if field.string:
            size = self._vector(position, 1, path)
            self._check_bounds(position + 4 + size, 1, path)
            if self._content[position + 4 + size]:
                raise _OutOfBoundsError(f"{path} does not end with a zero")
            _check_utf8(self._content[position + 4 : position + 4 + size], path)
        elif not field.element:
            self.table(position, field.table, path)
        else:
            count = self._vector(position, field.element, path)
            for index in range(count if field.table else 0):
                position_of_element = position + 4 + 4 * index
                self.table(
                    position_of_element + _uint(self._content, position_of_element), field.table, f"{path}[{index}]"
                )

    def _vector(self, position: int, element: int, path: str) -> int:
        self._check_bounds(position, 4, path, 4)
        count = _uint(self._content, position)
        self._check_bounds(position + 4, count * element, path, element)
        return count

    def _check_bounds(self, position: int, size: int, path: str, alignment: int = 1) -> None:
        if position < 0 or position + size > len(self._content):
            raise _OutOfBoundsError(f"{path} would be at bytes {position:,} to {position + size:,}")
        if position % alignment:  # a Cortex-M0+ stops at such a load
            raise _OutOfBoundsError(f"{path} is at byte {position:,}, not at a multiple of {alignment}")
        self._remaining -= size
        if self._remaining < 0:
            raise _OutOfBoundsError(f"its tables refer to each other so often that they expand beyond {path}")


def _check_utf8(text: bytes, path: str) -> None:
    """Reject a string that is not UTF-8, because runtimes return names as text and would fail."""
    try:
        text.decode()
    except UnicodeDecodeError as problem:
        raise ValueError(f"{path} must be UTF-8, but is {text[:40]!r}: convert the model again") from problem


def _uint(content: bytes, position: int) -> int:
    return int(struct.unpack_from("<I", content, position)[0])
