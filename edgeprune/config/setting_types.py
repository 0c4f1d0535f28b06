"""Types of settings that several tables share."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field


def _is_spec(value: str) -> str:
    file, colon, name = value.rpartition(":")
    if not (file and colon and all(part.isidentifier() for part in name.split("."))):
        raise ValueError("'file.py:name' or 'package.module:name'")
    return value


def is_onnx_file(factory: str) -> bool:
    """Return whether the network is an ONNX file, not the name of a factory."""
    return factory.lower().endswith(".onnx")


def _is_factory(value: str) -> str:
    try:
        return value if is_onnx_file(value) else _is_spec(value)
    except ValueError as problem:
        raise ValueError(f"{problem}, or the path of an '.onnx' file") from None


def _is_amount(value: float) -> float:
    if not (0 < value <= 1 or (value > 1 and float(value).is_integer())):
        raise ValueError("a fraction in (0, 1], or a whole number above 1")
    return value


Amount = Annotated[float, AfterValidator(_is_amount)]
"""A fraction in (0, 1], or a whole number above 1."""
Spec = Annotated[str, AfterValidator(_is_spec)]
"""Code of the user: ``file.py:name`` or ``package.module:name``."""
Factory = Annotated[str, AfterValidator(_is_factory)]
"""Network of the user: a factory like ``Spec``, or the path of an ONNX file."""
Positive = Annotated[int, Field(ge=1)]
