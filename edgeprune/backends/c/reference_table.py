"""Tables of functions of one int8 value, computed by TensorFlow Lite Micro."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeprune.backends.c.int8_network import TYPES, Step, Tensor
from edgeprune.operator_facts.tflite_operators import TFLITE
from edgeprune.tflite.tflite_file import pack
from edgeprune.tflite.tflite_schema import schema

_VALUES = np.arange(-128, 128, dtype=np.int8)
_CODES = {dtype: code for code, dtype in TYPES.items()}


def reference_table(step: Step) -> NDArray[np.int8]:
    """Return the output of a ``TABLE`` for each int8 value, from -128 to 127, (256,).

    Raises:
        ModelError: TensorFlow Lite Micro cannot run the operators.
    """
    from edgeprune.backends.tflm.interpreter import Interpreter

    with tempfile.TemporaryDirectory(prefix="edgeprune-") as folder:
        path = Path(folder) / "operator.tflite"
        path.write_bytes(pack(_ElementModel(step).model))
        (table,) = Interpreter(path).run_stored([_VALUES.reshape(1, -1)])
    return np.asarray(table, np.int8).reshape(-1)


class _ElementModel:
    """Model of the parts of a table, on tensors of shape (1, 256)."""

    def __init__(self, step: Step) -> None:
        self.tensors: list[schema.TensorT] = []
        self.buffers = [schema.BufferT()]
        codes, operators = [], []
        indices = {step.input(0): self._tensor(step.input(0))}
        for part in step.parts:
            if _is_copy(part):
                indices[part.output] = indices[part.input(0)]
                continue
            operands = part.inputs if TFLITE[part.kind].combines_elements else part.inputs[:1]
            inputs = []
            for tensor in operands:
                assert tensor is not None
                if tensor not in indices:
                    indices[tensor] = self._tensor(tensor)
                inputs.append(indices[tensor])
            indices[part.output] = self._tensor(part.output)
            code = getattr(schema.BuiltinOperator, part.kind)
            codes.append(schema.OperatorCodeT(builtinCode=code, deprecatedBuiltinCode=min(code, 127), version=1))
            operators.append(
                schema.OperatorT(
                    opcodeIndex=len(codes) - 1,
                    inputs=inputs,
                    outputs=[indices[part.output]],
                    builtinOptions=copy.deepcopy(part.options),
                    builtinOptionsType=_options_type(part),
                )
            )
        graph = schema.SubGraphT(
            tensors=self.tensors, inputs=[0], outputs=[indices[step.output]], operators=operators, name=b"main"
        )
        self.model = schema.ModelT(version=3, operatorCodes=codes, subgraphs=[graph], buffers=self.buffers)

    def _tensor(self, tensor: Tensor) -> int:
        steps = schema.QuantizationParametersT(scale=list(tensor.scales), zeroPoint=[tensor.zero_point])
        self.buffers.append(schema.BufferT(data=None if tensor.data is None else tensor.data.tobytes()))
        self.tensors.append(
            schema.TensorT(
                shape=[1, len(_VALUES)] if tensor.data is None else [1],
                type=_CODES[tensor.dtype],
                buffer=len(self.buffers) - 1,
                name=f"t{len(self.tensors)}".encode(),
                quantization=steps if tensor.scales else None,
            )
        )
        return len(self.tensors) - 1


def _is_copy(part: Step) -> bool:
    facts = TFLITE[part.kind]
    return not (facts.by_element or facts.casts or facts.combines_elements)


def _options_type(step: Step) -> int:
    if step.options is None:
        return 0
    return int(getattr(schema.BuiltinOptions, type(step.options).__name__.removesuffix("T")))
