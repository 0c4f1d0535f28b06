"""Estimate of the code size of a firmware image, from the operators of a model file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from edgeprune.operator_facts.tflite_operators import TFLITE

BASE_BYTES: Mapping[str, int] = {"interpreter": 11_869, "C library": 9_591, "firmware": 3_557}
"""Parts of every image: TensorFlow Lite Micro's core, newlib-nano with libm, ``main.cc`` and ``model.cc``."""
SOURCE = (
    "base: image of TensorFlow Lite Micro 90b983c with CMSIS-NN 4ab83cc for Cortex-M4, arm-none-eabi-g++ 12.2.1, "
    "kernels -O2, all else -Os, NDEBUG, --gc-sections, nano.specs; kernels: scripts/kernel_code.py on tflite-micro "
    "0.dev20261023182759, plain kernels for x86-64, which are 6 to 8 % larger than those of CMSIS-NN in three images"
)
BAND = 0.15
"""Half the width of the error band, as a fraction of the code."""
GOLDEN_SAMPLES = 4
"""Number of golden vectors in a firmware, unless their inputs exceed ``MOST_GOLDEN_BYTES``."""
MOST_GOLDEN_BYTES = 16 << 10


def code_bytes(operators: Iterable[str]) -> dict[str, int]:
    """Estimate the bytes of the base and of each kernel, by name. Unknown operators count as the largest kernel."""
    largest = max(TFLITE[name].kernel_bytes or 0 for name in TFLITE.names())
    kernels = {name: TFLITE[name].kernel_bytes or largest for name in sorted(set(operators))}
    return {**BASE_BYTES, **kernels}


def golden_count(input_bytes: int, samples: int = GOLDEN_SAMPLES) -> int:
    """Number of golden vectors in a firmware: as many as fit, at least one."""
    return min(samples, max(1, MOST_GOLDEN_BYTES // max(1, input_bytes)))
