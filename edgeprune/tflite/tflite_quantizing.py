"""Static int8 for TFLite files: int8 in and out, weights by channel, what TFLite Micro's integer kernels compute.

ai-edge-quantizer writes the file. It is told the range of every activation over real samples, from the smallest value
seen to the largest, as ``calibration`` takes it for ONNX.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from edgeprune import extras, files
from edgeprune.errors import ModelError
from edgeprune.export.output_capture import captured, logged
from edgeprune.model.splits import Split
from edgeprune.operator_facts.tflite_operators import TFLITE
from edgeprune.progress import SILENT, Progress
from edgeprune.quantize.calibration_samples import Array, CalibrationSamples
from edgeprune.quantize.float_outputs import OutputOperator, float_steps
from edgeprune.tflite.tflite_file import (
    Port,
    input_ports,
    operator_name,
    output_ports,
    pack,
    read,
    scales,
    state_orders,
    tensor_name,
)
from edgeprune.tflite.tflite_schema import schema

logger = logging.getLogger(__name__)

_QUANTIZER_NAMES = {"TRANSPOSE_CONV": "CONV_2D_TRANSPOSE"}
_FLOAT32 = schema.TensorType.FLOAT32
_MOST_CONCATENATED = 10


class FloatFile(Protocol):
    """A written TFLite file that tells how its inputs and outputs lie, as ``tflite.conversion.convert`` gives it."""

    @property
    def path(self) -> Path: ...
    @property
    def inputs(self) -> Sequence[Port]: ...
    @property
    def outputs(self) -> Sequence[Port]: ...


@dataclass(frozen=True)
class FloatNode:
    """A node that stays float.

    Attributes:
        name: Of what it writes, which is that of the ONNX node.
        op: Its TFLite operator.
    """

    name: str
    op: str


@dataclass(frozen=True)
class QuantizedTflite:
    """A written int8 file.

    Attributes:
        path: Of the file.
        file_bytes: Its size.
        samples: How many it was calibrated with.
        inputs: With the steps they are quantized to.
        outputs: The same.
        operators: How many of each TFLite operator there are.
        float_nodes: What stays float, in the model's order.
    """

    path: Path
    file_bytes: int
    samples: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operators: Mapping[str, int]
    float_nodes: tuple[FloatNode, ...]


def quantize(
    source: Path | str | FloatFile,
    path: Path | str,
    split: Split,
    *,
    samples: int = 100,
    seed: int = 0,
    progress: Progress = SILENT,
) -> QuantizedTflite:
    """Write the float TFLite file ``source`` to ``path`` as int8, whole or not at all.

    The same bytes for the same arguments. All buffers lie in the flatbuffer; no operator is hybrid. Inputs and outputs
    are int8; outputs are float32 where one of them joins parts of unlike range, see ``joining``.

    Args:
        source: One float32 input, batch 1. In a file that does not state its dimension orders, images are taken as
            NHWC and all else as the samples.
        path: Of the new file.
        split: To calibrate with, see ``CalibrationSamples``.
        samples: Of the split at most.
        seed: Of their draw.
        progress: Advances by a calibration sample.

    Raises:
        DataError: Calibration samples that are none, not finite, or of another shape.
        ModelError: The file cannot be read or is quantized already, or TFLite Micro has no kernel for an operator.
    """
    origin = Path(source) if isinstance(source, (str, Path)) else source.path
    known = (None, None) if isinstance(source, (str, Path)) else (source.inputs, source.outputs)
    model = read(origin)
    inputs, outputs = input_ports(model, known[0]), output_ports(model, known[1])
    _check(model, inputs, origin)
    drawn = CalibrationSamples(split, samples, seed)
    count = drawn.check(inputs[0].onnx_shape[1:])
    progress.start(count)
    ranges = _ranges(origin, model, (inputs[0].stored(sample) for sample in drawn), progress)
    model = _quantized(model, ranges)
    graph = model.subgraphs[0]
    state_orders(model, [port.order for port in inputs], [port.order for port in outputs])
    content = pack(model)
    files.write_atomic(Path(path), content)
    return QuantizedTflite(
        path=Path(path),
        file_bytes=len(content),
        samples=count,
        inputs=input_ports(model, inputs),
        outputs=output_ports(model, outputs),
        operators=dict(sorted(Counter(operator_name(model, op) for op in graph.operators).items())),
        float_nodes=tuple(
            FloatNode(_name(graph, op), operator_name(model, op))
            for op in graph.operators
            if not TFLITE[operator_name(model, op)].casts and _computes_floats(graph, op)
        ),
    )


def _check(model: schema.ModelT, inputs: Sequence[Port], path: Path) -> None:
    graph = model.subgraphs[0]
    if any(scales(tensor) for tensor in graph.tensors):
        raise ModelError(f"{path} is quantized already: give the float file")
    if len(inputs) != 1 or inputs[0].dtype != "float32" or inputs[0].batch_size != 1:
        got = ", ".join(f"{port.name}: {port.dtype} {list(port.shape)}" for port in inputs)
        raise ModelError(f"{path}: static quantization takes models with one float32 input of batch 1, got {got}")
    for op in graph.operators:
        name = operator_name(model, op)
        if _computes_floats(graph, op) and TFLITE[name].int8 is None:
            raise ModelError(
                f"{path}: node {_name(graph, op)} ({name}) has no kernel in TFLite Micro, neither for int8 nor for "
                f"float; there are some for {', '.join(sorted(TFLITE.names(lambda facts: facts.int8)))}"
            )
        if name == "CONCATENATION" and len(op.inputs) > _MOST_CONCATENATED:
            raise ModelError(
                f"{path}: node {_name(graph, op)} ({name}) has {len(op.inputs)} inputs; TFLite Micro takes at most "
                f"{_MOST_CONCATENATED}: concatenate in parts"
            )


def _ranges(
    path: Path, model: schema.ModelT, samples: Iterable[Array], progress: Progress
) -> dict[str, dict[str, Array]]:
    """Smallest and largest value of every activation, by its name, as ai-edge-quantizer wants them.

    Its own calibrator is slower, and draws a bar on stderr.
    """
    from ai_edge_litert.interpreter import Interpreter

    graph = model.subgraphs[0]
    activations = [
        index
        for index, tensor in enumerate(graph.tensors)
        if tensor.type == _FLOAT32 and model.buffers[tensor.buffer].data is None
    ]
    lowest, highest = np.full(len(activations), np.inf), np.full(len(activations), -np.inf)
    with captured(2), logged(logger):  # it tells of its delegate, and warns of the memory that all activations take
        interpreter = Interpreter(str(path), experimental_preserve_all_tensors=True)
        interpreter.allocate_tensors()
    try:
        for sample in samples:
            interpreter.set_tensor(graph.inputs[0], sample)
            interpreter.invoke()
            values = [interpreter.get_tensor(index) for index in activations]
            lowest = np.minimum(lowest, [value.min() for value in values])
            highest = np.maximum(highest, [value.max() for value in values])
            progress.advance()
    except (RuntimeError, ValueError) as problem:
        raise ModelError(f"calibration of {path} fails on LiteRT: {problem}") from problem
    ranges = {}
    for index, low, high in zip(activations, lowest, highest, strict=True):
        name = graph.tensors[index].name.decode()
        if not np.isfinite([low, high]).all():
            raise ModelError(
                f"activation {name} reaches {low} to {high} on calibration samples; it must stay finite: look for "
                "weights that are too large"
            )
        ranges[name] = {"min": np.array([low], np.float32), "max": np.array([high], np.float32)}
    return ranges


def _quantized(model: schema.ModelT, ranges: Mapping[str, Mapping[str, Array]]) -> schema.ModelT:
    with logged(logger):
        with extras.required("tflite"):
            from ai_edge_litert.tools import flatbuffer_utils
            from ai_edge_quantizer import algorithm_manager, model_modifier, params_generator, qtyping, recipe_manager

        recipe = recipe_manager.RecipeManager()
        graph = model.subgraphs[0]
        joins = _joins(model, ranges)
        # What a join gives to an output is float, and then all outputs are.
        integer = sorted(TFLITE.names(lambda facts: facts.int8 == "integer"))
        for name in (*integer, "INPUT", *(() if joins else ("OUTPUT",))):
            operation = qtyping.TFLOperationName(_QUANTIZER_NAMES.get(name, name))
            recipe.add_static_config(".*", operation, activation_num_bits=8, weight_num_bits=8)
        for join in joins:
            operation = qtyping.TFLOperationName(operator_name(model, join))
            scope = "".join(f"{tensor_name(graph, index)};" for index in join.outputs)
            recipe.add_quantization_config(
                f"^{re.escape(scope)}$", operation, algorithm_key=algorithm_manager.AlgorithmName.NO_QUANTIZE
            )
        model.signatureDefs = model.signatureDefs or []
        try:
            params = params_generator.ParamsGenerator(model).generate_quantization_parameters(
                recipe, ranges, enable_progress_bar=False
            )
            content = model_modifier.ModelModifier(model).modify_model(params, enable_progress_bar=False)
        except Exception as problem:  # its errors share no base class of their own
            raise ModelError(f"ai-edge-quantizer cannot quantize the model: {problem}") from problem
    return flatbuffer_utils.read_model_from_bytearray(content)


def _joins(model: schema.ModelT, ranges: Mapping[str, Mapping[str, Array]]) -> list[schema.OperatorT]:
    """The operators that join parts of unlike range at an output, see ``joining``."""
    graph = model.subgraphs[0]
    steps = [
        OutputOperator(
            [int(index) for index in op.inputs],
            [int(index) for index in op.outputs],
            TFLITE[operator_name(model, op)].moves,
            operator_name(model, op) == "CONCATENATION",
        )
        for op in graph.operators
    ]
    names = {index: tensor_name(graph, index) for index in range(len(graph.tensors))}
    magnitudes = {
        index: float(max(abs(ranges[name][end][0]) for end in ("min", "max")))
        for index, name in names.items()
        if name in ranges
    }
    chosen = float_steps(steps, {int(index) for index in graph.outputs}, magnitudes)
    return [graph.operators[index] for index in sorted(chosen)]


def _computes_floats(graph: schema.SubGraphT, op: schema.OperatorT) -> bool:
    return any(graph.tensors[index].type == _FLOAT32 for index in (*op.inputs, *op.outputs) if index >= 0)


def _name(graph: schema.SubGraphT, op: schema.OperatorT) -> str:
    return str(graph.tensors[op.outputs[0]].name.decode())
