"""Generated C code computes the same bits as TensorFlow Lite Micro, for every operator."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeprune.backends.c.layer import registered
from tests.backends.c.host_program import assert_equals_interpreter, needs_gcc
from tests.backends.c.operator_files import FILES, Draw
from tests.conformance.int8_cases import CASES, int8_file

pytestmark = needs_gcc
_NO_CODE = frozenset(
    "ABS BATCH_MATMUL CAST CEIL COS DEPTH_TO_SPACE DIV ELU EXP FLOOR GATHER LEAKY_RELU LOG LOG_SOFTMAX MAXIMUM MEAN "
    "MINIMUM MIRROR_PAD NEG PRELU REDUCE_MAX REDUCE_MIN RELU6 RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR RSQRT SIN "
    "SPACE_TO_DEPTH SQRT SUM TRANSPOSE_CONV".split()
)


def test_every_operator_with_c_code_has_an_example() -> None:
    assert set(registered()) <= (set(CASES) - _NO_CODE) | set(FILES)


@pytest.mark.parametrize("op", sorted(set(CASES) - _NO_CODE))
def test_quantized_networks(op: str, tmp_path: Path) -> None:
    _, result = int8_file(op, tmp_path)
    assert_equals_interpreter(result.path, tmp_path / "c")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("op", FILES)
def test_random_attributes(op: str, seed: int, tmp_path: Path) -> None:
    path = tmp_path / "one.tflite"
    path.write_bytes(FILES[op](Draw(seed)))
    assert_equals_interpreter(path, tmp_path / "c")


@pytest.mark.long
@pytest.mark.parametrize("op", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"])
def test_random_layers(op: str, tmp_path: Path) -> None:
    for seed in range(100, 120):
        path = tmp_path / f"{seed}.tflite"
        path.write_bytes(FILES[op](Draw(seed)))
        assert_equals_interpreter(path, tmp_path / f"c{seed}")
