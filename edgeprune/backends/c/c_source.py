"""Pieces of C source: identifiers, literals, arrays and comments that no name in a model file can break out of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_WIDTH = 100
_C_TYPES = {"int8": "int8_t", "int16": "int16_t", "int32": "int32_t", "uint8": "uint8_t", "float32": "float"}
_MOST_NAME = 40


@dataclass(frozen=True)
class Constant:
    """Array in read-only memory.

    Attributes:
        name: C identifier.
        values: Values, of a type in ``_C_TYPES``.
    """

    name: str
    values: NDArray[Any]

    @property
    def bytes(self) -> int:
        """Size in bytes."""
        return self.values.nbytes

    @property
    def declaration(self) -> str:
        """Declaration without a semicolon."""
        return f"const {_C_TYPES[self.values.dtype.name]} {self.name}[{self.values.size}]"

    def definition(self) -> str:
        """Definition with all values."""
        flat = self.values.reshape(-1)
        if flat.dtype == np.float32:
            literals = [float_literal(value) for value in flat]
        else:
            literals = [_integer(int(value)) for value in flat]
        return f"{self.declaration} = {{\n{_wrapped(literals)}\n}};\n"


def float_literal(value: float) -> str:
    """Return the exact literal of a float."""
    return f"{float(np.float32(value)).hex()}f"


def identifier(text: str, prefix: str = "") -> str:
    """Return a C identifier made of the letters, digits and underscores of ``text``, behind ``prefix``."""
    safe = re.sub(r"[^0-9a-zA-Z]+", "_", text).strip("_").lower()[:_MOST_NAME].strip("_")
    name = f"{prefix}{safe}"
    return name if re.match(r"[a-zA-Z]", name) else f"n{name}"


def comment(text: str) -> str:
    """Return a comment of one line. Characters that could end it, or start a trigraph, are replaced."""
    printable = "".join(character if " " <= character <= "~" else "?" for character in text)
    apart = re.sub(r"\?(?=\?)", "? ", printable)
    return f"/* {apart.replace('*/', '* /').replace('/*', '/ *')} */"


def structure(kind: str, name: str, fields: Sequence[tuple[str, str]]) -> str:
    """Return the definition of a static constant struct with designated initializers."""
    lines = [f"static const {kind} {name} = {{"]
    lines += [f"    .{field} = {value}," for field, value in fields]
    return "\n".join([*lines, "};"])


def _integer(value: int) -> str:
    return "(-2147483647 - 1)" if value == -(1 << 31) else str(value)


def _wrapped(literals: Sequence[str]) -> str:
    lines, line = [], "   "
    for literal in literals:
        if len(line) + len(literal) + 2 > _WIDTH:
            lines.append(line)
            line = "   "
        line += f" {literal},"
    return "\n".join([*lines, line])
