"""Static int8 quantization of TFLite files for TFLite Micro: int8 inputs and outputs, weights with a scale per channel.

ai-edge-quantizer writes the file. EdgePrune measures the range of every activation over real samples, from the smallest
to the largest value.
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
from edgeprune.operator_facts.tflite_operators import MOST_CONCATENATED, TFLITE
from edgeprune.progress import SILENT, Progress
from edgeprune.quantize.calibration_samples import Array, CalibrationSamples
from edgeprune.quantize.float_outputs import OutputOperator, float_steps
from edgeprune.tflite.attention_masks import bound_masks, find_masks
from edgeprune.tflite.float_positions import position_operators
from edgeprune.tflite.representable_biases import make_biases_representable
from edgeprune.tflite.small_divisors import divisions_by_small_values
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


class FloatFile(Protocol):
    """TFLite file with the layout of its inputs and outputs, as returned by ``tflite.conversion.convert``."""

    @property
    def path(self) -> Path: ...
    @property
    def inputs(self) -> Sequence[Port]: ...
    @property
    def outputs(self) -> Sequence[Port]: ...


@dataclass(frozen=True)
class FloatNode:
    """Node that remains float.

    Attributes:
        name: Name of its output, which is that of the ONNX node.
        op: TFLite operator.
    """

    name: str
    op: str


@dataclass(frozen=True)
class QuantizedTflite:
    """Result of ``quantize``: an int8 file.

    Attributes:
        path: Path of the file.
        file_bytes: Size of the file in bytes.
        samples: Number of calibration samples.
        inputs: Inputs with their quantization.
        outputs: Outputs with their quantization.
        operators: Number of TFLite operators of each kind.
        float_nodes: Nodes that remain float, in the model's order.
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
    """Quantize the float TFLite file ``source`` to int8 and write it to ``path`` atomically.

    Equal arguments give equal bytes. All buffers are inside the flatbuffer, and no operator is hybrid. Inputs and
    outputs are int8. If an output joins parts with different ranges, all outputs are float32, see ``float_outputs``.

    Args:
        source: Float file with one float32 input of batch 1. If it does not state its dimension orders, images are NHWC
            and other inputs have the order of the samples.
        path: Path of the new file.
        split: Split for calibration, see ``CalibrationSamples``.
        samples: Maximum number of calibration samples.
        seed: Seed of their random selection.
        progress: Progress indicator, which advances by one for each calibration sample.

    Raises:
        DataError: The calibration samples are empty, not finite, or have a wrong shape.
        ModelError: The file cannot be read or is quantized already, or TFLite Micro has no kernel for an operator.
    """
    origin = Path(source) if isinstance(source, (str, Path)) else source.path
    source_ports = (None, None) if isinstance(source, (str, Path)) else (source.inputs, source.outputs)
    model = read(origin)
    inputs, outputs = input_ports(model, source_ports[0]), output_ports(model, source_ports[1])
    _check(model, inputs, origin)
    calibration = CalibrationSamples(split, samples, seed)
    count = calibration.check(inputs[0].onnx_shape[1:])
    progress.start(count)
    ranges = _ranges(origin, model, (inputs[0].stored(sample) for sample in calibration), progress)
    make_biases_representable(model, ranges)
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
        raise ModelError(f"{path}: expected a float file, found a quantized one")
    if len(inputs) != 1 or inputs[0].dtype != "float32" or inputs[0].batch_size != 1:
        actual = ", ".join(f"{port.name}: {port.dtype} {list(port.shape)}" for port in inputs)
        raise ModelError(f"{path}: static quantization needs a model with one float32 input of batch 1, got {actual}")
    for op in graph.operators:
        name = operator_name(model, op)
        if _computes_floats(graph, op) and TFLITE[name].int8 is None:
            raise ModelError(
                f"{path}: node {_name(graph, op)} ({name}) has no int8 or float kernel in TFLite Micro: replace it in "
                "the network, or compute it outside the network"
            )
        if name == "CONCATENATION" and len(op.inputs) > MOST_CONCATENATED:
            raise ModelError(
                f"{path}: node {_name(graph, op)} ({name}) has {len(op.inputs)} inputs, but TFLite Micro supports at "
                f"most {MOST_CONCATENATED}: concatenate in several steps"
            )


def _ranges(
    path: Path, model: schema.ModelT, samples: Iterable[Array], progress: Progress
) -> dict[str, dict[str, Array]]:
    """Measure the smallest and largest value of every activation by name, in the format of ai-edge-quantizer.

    Constant masks of attention in ``model`` are bounded, see ``attention_masks``. An activation that is zero on all
    samples gets the range from 0 to 1.

    The calibrator of ai-edge-quantizer is slower, and prints a progress bar on stderr.
    """
    from ai_edge_litert.interpreter import Interpreter

    graph = model.subgraphs[0]
    activations = [
        index
        for index, tensor in enumerate(graph.tensors)
        if tensor.type == _FLOAT32 and model.buffers[tensor.buffer].data is None
    ]
    lowest, highest = np.full(len(activations), np.inf), np.full(len(activations), -np.inf)
    masks = find_masks(model)
    with captured(2), logged(logger):  # it prints its delegate and a warning about the memory of all activations
        interpreter = Interpreter(str(path), experimental_preserve_all_tensors=True)
        interpreter.allocate_tensors()
    try:
        for sample in samples:
            interpreter.set_tensor(graph.inputs[0], sample)
            interpreter.invoke()
            values = [interpreter.get_tensor(index) for index in activations]
            lowest = np.minimum(lowest, [value.min() for value in values])
            highest = np.maximum(highest, [value.max() for value in values])
            for mask in masks:
                mask.observe(interpreter.get_tensor(mask.sums[-1]))
            progress.advance()
    except (RuntimeError, ValueError) as problem:
        raise ModelError(f"calibration of {path} failed on LiteRT: {problem}") from problem
    ends = bound_masks(
        model, masks, dict(zip(activations, lowest, strict=True)), dict(zip(activations, highest, strict=True))
    )
    lowest = np.array([ends.get(index, low) for index, low in zip(activations, lowest, strict=True)])
    ranges = {}
    for index, low, high in zip(activations, lowest, highest, strict=True):
        name = graph.tensors[index].name.decode()
        if not np.isfinite([low, high]).all():
            raise ModelError(
                f"activation {name} must be finite on calibration samples, but ranges from {low} to {high}: check for "
                "weights that are too large"
            )
        top = 1.0 if low == high == 0 else high  # XNNPACK refuses a file with a scale of nearly zero
        # Of rank 0, which ai-edge-quantizer extends to the rank of any constant that shares the range.
        ranges[name] = {"min": np.array(low, np.float32), "max": np.array(top, np.float32)}
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
            # Kernels of operators without weights read only the first scale of a constant.
            granularity = (
                qtyping.QuantGranularity.TENSORWISE
                if TFLITE[name].channel_axis is None
                else qtyping.QuantGranularity.CHANNELWISE
            )
            recipe.add_static_config(
                ".*", operation, activation_num_bits=8, weight_num_bits=8, weight_granularity=granularity
            )
        for op in (*joins, *position_operators(model), *divisions_by_small_values(model, ranges)):
            name = operator_name(model, op)
            operation = qtyping.TFLOperationName(_QUANTIZER_NAMES.get(name, name))
            scope = "".join(f"{tensor_name(graph, index)};" for index in op.outputs)
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
    """Return the operators that join parts with different ranges at an output, see ``float_outputs``."""
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
        index: float(max(np.abs(ranges[name][end]).item() for end in ("min", "max")))
        for index, name in names.items()
        if name in ranges
    }
    float_indices = float_steps(steps, {int(index) for index in graph.outputs}, magnitudes)
    return [graph.operators[index] for index in sorted(float_indices)]


def _computes_floats(graph: schema.SubGraphT, op: schema.OperatorT) -> bool:
    return any(graph.tensors[index].type == _FLOAT32 for index in (*op.inputs, *op.outputs) if index >= 0)


def _name(graph: schema.SubGraphT, op: schema.OperatorT) -> str:
    return str(graph.tensors[op.outputs[0]].name.decode())
