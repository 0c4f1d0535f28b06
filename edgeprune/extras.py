"""Optional packages by the extra of EdgePrune that installs them, such as ``pip install 'edgeprune[tflite]'``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Literal

from edgeprune.errors import MissingPackageError

Extra = Literal["tflite", "mcu", "ethos-u", "serial", "plots", "recipes", "distributed", "tensorboard"]
MODULES: Mapping[Extra, tuple[str, ...]] = {
    "tflite": ("ai_edge_litert", "ai_edge_quantizer", "flatbuffers"),
    "mcu": ("tflite_micro",),
    "ethos-u": ("ethosu",),
    "serial": ("serial",),
    "plots": ("matplotlib",),
    "recipes": ("sklearn", "PIL"),
    "distributed": ("accelerate",),
    "tensorboard": ("tensorboard",),
}
"""Modules by the extra that installs them."""


@contextmanager
def required(extra: Extra) -> Iterator[None]:
    """Context manager for imports of the modules of ``extra``, which names the extra if a module is missing.

    Args:
        extra: Name of the extra.

    Raises:
        MissingPackageError: A module of the extra is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as problem:
        module = (problem.name or "").partition(".")[0]
        if module not in MODULES[extra]:
            raise
        raise _missing(module, extra) from problem


def check(extra: Extra) -> None:
    """Check that the modules of ``extra`` are installed, without importing them.

    Args:
        extra: Name of the extra.

    Raises:
        MissingPackageError: A module of the extra is not installed.
    """
    for module in MODULES[extra]:
        if find_spec(module) is None:
            raise _missing(module, extra)


def _missing(module: str, extra: Extra) -> MissingPackageError:
    return MissingPackageError(f"the Python package {module} is not installed: pip install 'edgeprune[{extra}]'")
