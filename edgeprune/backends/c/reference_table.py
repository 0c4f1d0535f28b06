"""Tables of functions of one int8 value, computed by TensorFlow Lite Micro."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeprune.backends.c.int8_network import Step
from edgeprune.errors import ModelError
from edgeprune.tflite.tflite_file import pack
from edgeprune.tflite.tflite_schema import schema

_VALUES = np.arange(-128, 128, dtype=np.int8)


def reference_table(step: Step) -> NDArray[np.int8]:
    """Return the output of ``step`` for each int8 value, from -128 to 127, (256,).

    Raises:
        ModelError: Input or output is not int8, or TensorFlow Lite Micro cannot run the operator.
    """
    from edgeprune.backends.tflm.interpreter import Interpreter

    if {step.input(0).dtype.name, step.output.dtype.name} != {"int8"}:
        raise ModelError(f"{step.name} must have an int8 input and output to become C code: quantize the model to int8")
    with tempfile.TemporaryDirectory(prefix="edgeprune-") as folder:
        path = Path(folder) / "operator.tflite"
        path.write_bytes(pack(_single(step)))
        (table,) = Interpreter(path).run_stored([_VALUES.reshape(1, -1)])
    return np.asarray(table, np.int8).reshape(-1)


def _single(step: Step) -> schema.ModelT:
    """Return a model with ``step`` alone, on a tensor of shape (1, 256)."""
    tensors = []
    for number, tensor in enumerate((step.input(0), step.output)):
        steps = schema.QuantizationParametersT(scale=[tensor.scale], zeroPoint=[tensor.zero_point])
        tensors.append(
            schema.TensorT(
                shape=[1, len(_VALUES)],
                type=schema.TensorType.INT8,
                buffer=number + 1,
                name=("input", "output")[number].encode(),
                quantization=steps,
            )
        )
    code = getattr(schema.BuiltinOperator, step.kind)
    operator = schema.OperatorT(
        opcodeIndex=0,
        inputs=[0],
        outputs=[1],
        builtinOptions=copy.deepcopy(step.options),
        builtinOptionsType=_options_type(step),
    )
    graph = schema.SubGraphT(tensors=tensors, inputs=[0], outputs=[1], operators=[operator], name=b"main")
    codes = [schema.OperatorCodeT(builtinCode=code, deprecatedBuiltinCode=min(code, 127), version=1)]
    buffers = [schema.BufferT() for _ in range(3)]
    return schema.ModelT(version=3, operatorCodes=codes, subgraphs=[graph], buffers=buffers)


def _options_type(step: Step) -> int:
    if step.options is None:
        return 0
    return int(getattr(schema.BuiltinOptions, type(step.options).__name__.removesuffix("T")))
