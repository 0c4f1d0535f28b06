"""Files for which no C code can be generated are refused with the name of the tensor or operator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeprune.backends.c.code_files import generate
from edgeprune.errors import ModelError
from edgeprune.tflite.tflite_file import pack
from edgeprune.tflite.tflite_schema import schema
from tests.tflite.tflite_files import FLOAT, INT32, File

_INT16 = schema.TensorType.INT16


def _float_ports() -> schema.ModelT:
    file = File()
    x, y = file.tensor("x", (1, 4), FLOAT), file.tensor("y", (1, 4), FLOAT)
    file.op("RELU", (x,), (y,))
    return file.model([x], [y])


def _int16() -> schema.ModelT:
    file = File()
    x, y = file.tensor("x", (1, 4), _INT16), file.tensor("y", (1, 4), _INT16)
    file.op("RELU", (x,), (y,))
    return file.model([x], [y])


def _several_graphs() -> schema.ModelT:
    file = File()
    x, y = file.tensor("x", (1, 4)), file.tensor("y", (1, 4))
    file.op("RELU", (x,), (y,))
    model = file.model([x], [y])
    model.subgraphs.append(model.subgraphs[0])
    return model


def _custom() -> schema.ModelT:
    file = File()
    x, y = file.tensor("x", (1, 4)), file.tensor("y", (1, 4))
    file.op("CUSTOM", (x,), (y,), custom="Mine")
    return file.model([x], [y])


def _without_code() -> schema.ModelT:
    file = File()
    x, y = file.tensor("x", (1, 4)), file.tensor("y", (1, 4))
    file.op("L2_NORMALIZATION", (x,), (y,), schema.L2NormOptionsT())
    return file.model([x], [y])


def _unknown_size() -> schema.ModelT:
    file = File()
    x, y = file.tensor("x", (0, 4)), file.tensor("y", (1, 4))
    file.op("RELU", (x,), (y,))
    return file.model([x], [y])


def _two_scales_in_a_concatenation() -> schema.ModelT:
    file = File()
    x, z = file.tensor("x", (1, 4)), file.tensor("z", (1, 4), scale=0.25)
    y = file.tensor("y", (1, 8))
    file.op("CONCATENATION", (x, z), (y,), schema.ConcatenationOptionsT(axis=1))
    return file.model([x, z], [y])


def _softmax_scale() -> schema.ModelT:
    file = File()
    x, y = file.tensor("x", (1, 4)), file.tensor("y", (1, 4))
    file.op("SOFTMAX", (x,), (y,), schema.SoftmaxOptionsT(beta=1.0))
    return file.model([x], [y])


def _activation() -> schema.ModelT:
    file = File()
    x, y = file.tensor("x", (1, 4)), file.tensor("y", (1, 4))
    weights = file.tensor("w", (4, 4), data=np.ones((4, 4), np.int8))
    options = schema.FullyConnectedOptionsT(fusedActivationFunction=schema.ActivationFunctionType.TANH)
    file.op("FULLY_CONNECTED", (x, weights, -1), (y,), options)
    return file.model([x], [y])


def _index_beyond_the_input() -> schema.ModelT:
    file = File()
    x, y = file.tensor("x", (1, 4)), file.tensor("y", (1, 2))
    indices = file.tensor("indices", (2,), INT32, np.int32([0, 4]))
    file.op("GATHER", (x, indices), (y,), schema.GatherOptionsT(axis=1))
    return file.model([x], [y])


def _wrong_shape() -> schema.ModelT:
    file = File()
    x, y = file.tensor("x", (1, 4)), file.tensor("y", (1, 9))
    places = [file.tensor(name, (2,), INT32, np.int32(value)) for name, value in (("b", [0, 1]), ("s", [1, 2]))]
    file.op("SLICE", (x, *places), (y,), schema.SliceOptionsT())
    return file.model([x], [y])


_FILES: list[tuple[Callable[[], schema.ModelT], list[str]]] = [
    (_float_ports, ["'x'", "float32"]),
    (_int16, ["'x'", "int8"]),
    (_several_graphs, ["one subgraph", "2"]),
    (_custom, ["CUSTOM 'y'"]),
    (_without_code, ["L2_NORMALIZATION 'y'"]),
    (_unknown_size, ["'x'", "(0, 4)"]),
    (_two_scales_in_a_concatenation, ["CONCATENATION", "scale"]),
    (_softmax_scale, ["SOFTMAX", "-128"]),
    (_index_beyond_the_input, ["GATHER 'y'", "4"]),
    (_wrong_shape, ["SLICE", "9"]),
    (_activation, ["FULLY_CONNECTED"]),
]


@pytest.mark.parametrize(("model", "parts"), _FILES, ids=lambda value: getattr(value, "__name__", ""))
def test_file_without_c_code_is_refused(model: Callable[[], schema.ModelT], parts: list[str], tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(pack(model()))
    with pytest.raises(ModelError) as caught:
        generate(path)
    assert all(part in str(caught.value) for part in parts), caught.value


def test_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(b"\x1c\0\0\0TFL3")
    with pytest.raises(ModelError, match=r"m\.tflite"):
        generate(path)
