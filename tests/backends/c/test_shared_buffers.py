"""Views, joined and separated tensors, and outputs of the network need neither copies nor memory of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tests.backends.c.host_program import assert_equals_interpreter, needs_gcc
from tests.tflite.tflite_files import INT32, File

_STEPS = {"scale": 0.05, "zero_point": 7}
_HALF = {"scale": 1 / 256, "zero_point": -128}


def _pooled(file: File, source: int, name: str, shape: tuple[int, ...]) -> int:
    """Add an operator that needs memory of its own for its output."""
    output = file.tensor(name, shape, **_STEPS)
    options = schema.Pool2DOptionsT(strideH=1, strideW=1, filterHeight=1, filterWidth=1)
    file.op("MAX_POOL_2D", [source], [output], options)
    return output


def _joined(file: File, x: int) -> int:
    """Both parts are computed inside the joined tensor, which the last operator reads."""
    parts = [_pooled(file, x, name, (1, 2, 3, 4)) for name in "ab"]
    whole = file.tensor("whole", (1, 4, 3, 4), **_STEPS)
    file.op("CONCATENATION", parts, [whole], schema.ConcatenationOptionsT(axis=1))
    return _pooled(file, whole, "y", (1, 4, 3, 4))


def _joined_output(file: File, x: int) -> int:
    parts = [_pooled(file, x, name, (1, 2, 3, 4)) for name in "ab"]
    whole = file.tensor("whole", (1, 4, 3, 4), **_STEPS)
    file.op("CONCATENATION", parts, [whole], schema.ConcatenationOptionsT(axis=1))
    return whole


def _separated(file: File, x: int) -> int:
    """The parts of the input are read where they are."""
    axis = file.tensor("axis", (), INT32, np.int32(1))
    parts = [file.tensor(name, (1, 1, 3, 4), **_STEPS) for name in "ab"]
    file.op("SPLIT", [axis, x], parts, schema.SplitOptionsT(numSplits=2))
    y = file.tensor("y", (1, 1, 3, 4), **_STEPS)
    file.op("MUL", parts, [y], schema.MulOptionsT())
    return y


def _view_and_output(file: File, x: int) -> int:
    """The last two operators change what the first one has stored in the memory of the output."""
    pooled = _pooled(file, x, "a", (1, 2, 3, 4))
    shape = file.tensor("shape", (2,), INT32, np.int32([2, 12]))
    flat, y = file.tensor("flat", (2, 12), **_STEPS), file.tensor("y", (2, 12), **_HALF)
    file.op("RESHAPE", [pooled, shape], [flat], schema.ReshapeOptionsT(newShape=[2, 12]))
    file.op("SOFTMAX", [flat], [y], schema.SoftmaxOptionsT(beta=1.0))
    return y


@needs_gcc
@pytest.mark.parametrize(
    ("build", "arena"), [(_joined, 48), (_joined_output, 0), (_separated, 0), (_view_and_output, 0)]
)
def test_shared_memory_needs_no_copies(build: Callable[[File, int], int], arena: int, tmp_path: Path) -> None:
    file, path = File(), tmp_path / "m.tflite"
    x = file.tensor("x", (1, 2, 3, 4), **_STEPS)
    path.write_bytes(file.content([x], [build(file, x)]))
    code = assert_equals_interpreter(path, tmp_path / "c")
    assert code.arena_bytes == arena
    assert "ep_move(" not in code.files["model.c"]
    assert "memcpy(" not in code.files["model.c"]


@needs_gcc
def test_tensor_that_is_joined_twice_is_copied_once(tmp_path: Path) -> None:
    file, path = File(), tmp_path / "m.tflite"
    x, y = file.tensor("x", (1, 2, 3, 4), **_STEPS), file.tensor("y", (1, 4, 3, 4), **_STEPS)
    part = _pooled(file, x, "a", (1, 2, 3, 4))
    file.op("CONCATENATION", [part, part], [y], schema.ConcatenationOptionsT(axis=1))
    path.write_bytes(file.content([x], [y]))
    code = assert_equals_interpreter(path, tmp_path / "c")
    assert code.files["model.c"].count("memcpy(") == 1
