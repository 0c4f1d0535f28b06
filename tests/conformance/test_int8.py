"""Every operator that a quantized TFLite file may have: TFLite Micro computes what LiteRT and the float file do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeprune.backends.litert.litert_session import LiteRTSession
from edgeprune.backends.tflm import host_comparison
from edgeprune.backends.tflm.interpreter import Interpreter
from edgeprune.operator_facts.tflite_operators import TFLITE
from tests.conformance.int8_cases import CASES, int8_file, samples_of

_STEPS = {"RSQRT": 8.0}
"""Off the float file, where one operator of ONNX is many: the one of a LayerNormalization is its fourth last."""


def test_every_operator_has_a_case() -> None:
    assert set(CASES) == set(TFLITE.names(lambda facts: facts.int8))


@pytest.mark.parametrize("op", CASES)
def test_operator(op: str, tmp_path: Path) -> None:
    converted, result = int8_file(op, tmp_path)
    assert op in result.operators
    assert {node.op for node in result.float_nodes} == ({op} if TFLITE[op].int8 == "float" else set())
    assert {port.dtype for port in (*result.inputs, *result.outputs)} == {"int8"}
    (entry,) = result.inputs
    on_steps = np.concatenate([entry.restored(entry.stored(sample[None])) for sample in samples_of(op)])
    output = host_comparison.compare(result.path, on_steps, result.inputs, result.outputs, classes=False)
    expected = LiteRTSession(converted.path).predict(on_steps)
    got = Interpreter(result.path, result.inputs, result.outputs).predict(on_steps)
    off = max(np.abs(a - b).max() / port.scale for a, b, port in zip(expected, got, result.outputs, strict=True))
    assert output.worst_steps <= 1
    assert off <= _STEPS.get(op, 1.5)
