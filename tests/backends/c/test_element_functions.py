"""Operators that depend on one int8 tensor, element by element, become one table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgeprune.backends.c.element_functions import TABLE, with_tables
from edgeprune.backends.c.int8_network import read_network
from edgeprune.operator_facts.tflite_operators import TFLITE
from tests.backends.c.host_program import assert_equals_interpreter, needs_gcc
from tests.tflite.tflite_files import FLOAT, INT32, File

_SHAPE = (1, 5, 3)
_HALF = {"scale": 1 / 256, "zero_point": -128}
_STEPS = {"scale": 0.05, "zero_point": 7}


def _silu(file: File, x: int) -> list[int]:
    s, y = file.tensor("s", _SHAPE, **_HALF), file.tensor("y", _SHAPE, **_STEPS)
    file.op("LOGISTIC", [x], [s])
    file.op("MUL", [x, s], [y], schema.MulOptionsT())
    return [y]


def _float_graph(file: File, x: int) -> list[int]:
    """x -> sin(x) * cos(x / 2 + 1), with a scalar constant and a change of shape."""
    names = ("xf", "sin", "half", "more", "cos")
    floats = {name: file.tensor(name, _SHAPE, FLOAT) for name in names}
    flat, product = file.tensor("flat", (15,), FLOAT), file.tensor("product", _SHAPE, FLOAT)
    back, y = file.tensor("back", _SHAPE, FLOAT), file.tensor("y", _SHAPE, **_STEPS)
    two, one = (file.tensor(f"c{value}", (), FLOAT, np.float32(value)) for value in (2, 1))
    sizes = [file.tensor(f"shape{len(shape)}", (len(shape),), INT32, np.int32(shape)) for shape in ((15,), _SHAPE)]
    file.op("DEQUANTIZE", [x], [floats["xf"]])
    file.op("SIN", [floats["xf"]], [floats["sin"]])
    file.op("DIV", [floats["xf"], two], [floats["half"]], schema.DivOptionsT())
    file.op("ADD", [one, floats["half"]], [floats["more"]], schema.AddOptionsT())
    file.op("COS", [floats["more"]], [floats["cos"]])
    file.op("RESHAPE", [floats["sin"], sizes[0]], [flat], schema.ReshapeOptionsT(newShape=[15]))
    file.op("RESHAPE", [flat, sizes[1]], [back], schema.ReshapeOptionsT(newShape=list(_SHAPE)))
    file.op("MUL", [back, floats["cos"]], [product], schema.MulOptionsT())
    file.op("QUANTIZE", [product], [y])
    return [y]


def _chain(file: File, x: int) -> list[int]:
    a, b, y = file.tensor("a", _SHAPE, **_HALF), file.tensor("b", _SHAPE, **_STEPS), file.tensor("y", _SHAPE, **_STEPS)
    c = file.tensor("c", (1,), data=np.int8([40]), **_STEPS)
    file.op("LOGISTIC", [x], [a])
    file.op("SUB", [a, c], [b], schema.SubOptionsT())
    file.op("RELU", [b], [y])
    return [y]


def _shared(file: File, x: int) -> list[int]:
    """The first of two functions is an output of the network: the second one is computed from it."""
    a, y = file.tensor("a", _SHAPE, **_HALF), file.tensor("y", _SHAPE, **_STEPS)
    file.op("LOGISTIC", [x], [a])
    file.op("QUANTIZE", [a], [y])
    return [a, y]


def _integers(file: File, x: int) -> list[int]:
    floats = [file.tensor(name, _SHAPE, FLOAT) for name in ("xf", "yf")]
    whole, y = file.tensor("whole", _SHAPE, INT32), file.tensor("y", _SHAPE, **_STEPS)
    file.op("DEQUANTIZE", [x], [floats[0]])
    file.op("CAST", [floats[0]], [whole], schema.CastOptionsT())
    file.op("CAST", [whole], [floats[1]], schema.CastOptionsT())
    file.op("QUANTIZE", [floats[1]], [y])
    return [y]


_NETWORKS: list[tuple[Callable[[File, int], list[int]], list[str]]] = [
    (_silu, [TABLE]),
    (_float_graph, [TABLE]),
    (_chain, [TABLE]),
    (_shared, [TABLE, TABLE]),
    (_integers, [TABLE]),
]


@needs_gcc
@pytest.mark.parametrize(("build", "kinds"), _NETWORKS, ids=lambda value: getattr(value, "__name__", ""))
def test_functions_of_one_element_are_one_table(
    build: Callable[[File, int], list[int]], kinds: list[str], tmp_path: Path
) -> None:
    file, path = File(), tmp_path / "m.tflite"
    x = file.tensor("x", _SHAPE, scale=0.1, zero_point=-3)
    path.write_bytes(file.content([x], build(file, x)))
    network = with_tables(read_network(path))
    assert [step.kind for step in network.steps] == kinds
    if build is _shared:
        assert network.steps[1].inputs == network.steps[0].outputs
    assert_equals_interpreter(path, tmp_path / "c")


def test_two_sources_are_not_a_table(tmp_path: Path) -> None:
    file, path = File(), tmp_path / "m.tflite"
    x, z = (file.tensor(name, _SHAPE, **_STEPS) for name in "xz")
    a, y = file.tensor("a", _SHAPE, **_HALF), file.tensor("y", _SHAPE, **_STEPS)
    file.op("LOGISTIC", [x], [a])
    file.op("MUL", [a, z], [y], schema.MulOptionsT())
    path.write_bytes(file.content([x, z], [y]))
    assert [step.kind for step in with_tables(read_network(path)).steps] == [TABLE, "MUL"]


_MICRO = TFLITE.names(lambda facts: facts.by_element and facts.micro_kernel)


@needs_gcc
@pytest.mark.parametrize("kind", sorted(set(_MICRO) - {"CAST"}))
def test_function_between_floats(kind: str, tmp_path: Path) -> None:
    file, path = File(), tmp_path / "m.tflite"
    x, y = file.tensor("x", _SHAPE, scale=0.02, zero_point=-128), file.tensor("y", _SHAPE, **_STEPS)
    floats = [file.tensor(name, _SHAPE, FLOAT) for name in ("xf", "yf")]
    options = {"LEAKY_RELU": schema.LeakyReluOptionsT(alpha=0.2)}.get(kind)
    file.op("DEQUANTIZE", [x], [floats[0]])
    file.op(kind, [floats[0]], [floats[1]], options)
    file.op("QUANTIZE", [floats[1]], [y])
    path.write_bytes(file.content([x], [y]))
    assert_equals_interpreter(path, tmp_path / "c")
