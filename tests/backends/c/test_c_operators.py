"""Generated C code computes the same bits as TensorFlow Lite Micro, for every operator."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeprune.backends.c.code_files import generate
from edgeprune.backends.c.element_functions import TABLE
from edgeprune.backends.c.layer import registered
from edgeprune.errors import ModelError
from tests.backends.c.host_program import assert_equals_interpreter, needs_gcc
from tests.backends.c.operator_files import FILES
from tests.backends.c.random_draw import Draw
from tests.conformance.int8_cases import CASES, int8_file

pytestmark = needs_gcc
_NO_CODE = frozenset({"LOG_SOFTMAX"})
"""Operators that need the exponential function of floats, whose last bit differs between C libraries."""
_WITHOUT_NAME = frozenset({TABLE, "DEQUANTIZE", "QUANTIZE"})
"""Steps of many of the files: functions of one element, and the ends of floats."""


def test_every_operator_with_c_code_has_an_example() -> None:
    assert set(registered()) - _WITHOUT_NAME <= {kind.removeprefix("float ") for kind in FILES}


@pytest.mark.parametrize("op", sorted(set(CASES) - _NO_CODE))
def test_quantized_networks(op: str, tmp_path: Path) -> None:
    _, result = int8_file(op, tmp_path)
    assert_equals_interpreter(result.path, tmp_path / "c")


@pytest.mark.parametrize("op", sorted(_NO_CODE))
def test_operator_without_exact_code_is_refused(op: str, tmp_path: Path) -> None:
    _, result = int8_file(op, tmp_path)
    with pytest.raises(ModelError, match=op):
        generate(result.path)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 4))])
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
