"""Estimate of the flash that a firmware image takes beside its model, from the operators of a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

BASE_BYTES: Mapping[str, int] = {"interpreter": 11_869, "C library": 9_591, "firmware": 3_557}
"""Parts of every image: TensorFlow Lite Micro's core, newlib-nano with libm, ``main.cc`` and ``model.cc``."""
KERNEL_BYTES: Mapping[str, int] = {
    "ABS": 5_632, "ADD": 17_694, "AVERAGE_POOL_2D": 8_633, "BATCH_MATMUL": 17_944, "CAST": 3_739, "CEIL": 1_804,
    "CONCATENATION": 8_576, "CONV_2D": 14_031, "COS": 1_438, "DEPTHWISE_CONV_2D": 11_810, "DEPTH_TO_SPACE": 3_272,
    "DEQUANTIZE": 2_030, "DIV": 15_178, "ELU": 2_012, "EXP": 1_726, "EXPAND_DIMS": 1_916, "FLOOR": 2_072,
    "FULLY_CONNECTED": 10_905, "GATHER": 3_900, "HARD_SWISH": 3_505, "LEAKY_RELU": 2_680, "LOG": 1_438,
    "LOGISTIC": 5_113, "LOG_SOFTMAX": 8_439, "MAXIMUM": 13_330, "MAX_POOL_2D": 8_633, "MEAN": 10_804,
    "MINIMUM": 13_330, "MIRROR_PAD": 1_620, "MUL": 15_181, "NEG": 943, "PACK": 3_140, "PAD": 9_106, "PADV2": 11_303,
    "PRELU": 7_753, "QUANTIZE": 4_079, "REDUCE_MAX": 6_982, "REDUCE_MIN": 11_849, "RELU": 2_766, "RELU6": 2_846,
    "RESHAPE": 1_867, "RESIZE_BILINEAR": 4_445, "RESIZE_NEAREST_NEIGHBOR": 6_090, "RSQRT": 4_818, "SIN": 1_438,
    "SLICE": 5_267, "SOFTMAX": 10_922, "SPACE_TO_DEPTH": 5_505, "SPLIT": 2_942, "SQRT": 5_414, "SQUEEZE": 1_527,
    "STRIDED_SLICE": 20_071, "SUB": 20_318, "SUM": 11_842, "TANH": 5_249, "TRANSPOSE": 4_714, "TRANSPOSE_CONV": 12_274,
    "UNPACK": 2_410,
}  # fmt: skip
SOURCE = (
    "base: image of TensorFlow Lite Micro 90b983c with CMSIS-NN 4ab83cc for Cortex-M4, arm-none-eabi-g++ 12.2.1, "
    "kernels -O2, all else -Os, NDEBUG, --gc-sections, nano.specs; kernels: scripts/kernel_code.py on tflite-micro "
    "0.dev20261023182759, plain kernels for x86-64, which are 6 to 8 % larger than those of CMSIS-NN in three images"
)
BAND = 0.15
"""Half the width of the error band, as a fraction of the code."""
GOLDEN_SAMPLES = 4
"""Golden vectors of a firmware, unless their inputs exceed ``MOST_GOLDEN_BYTES``."""
MOST_GOLDEN_BYTES = 16 << 10


def code_bytes(operators: Iterable[str]) -> dict[str, int]:
    """Estimated bytes of the base and of the kernel of each operator, by name; the largest kernel for unknown ones."""
    kernels = {name: KERNEL_BYTES.get(name, max(KERNEL_BYTES.values())) for name in sorted(set(operators))}
    return {**BASE_BYTES, **kernels}


def golden_count(input_bytes: int, samples: int = GOLDEN_SAMPLES) -> int:
    """Number of golden vectors in a firmware: as many as fit, at least one."""
    return min(samples, max(1, MOST_GOLDEN_BYTES // max(1, input_bytes)))
