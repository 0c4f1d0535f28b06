"""Conversion of an ONNX file to fp16, for TensorRT 11 and later, which uses the types in the file."""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from edgeprune.errors import DataError, ModelError

Array = NDArray[np.generic]

LARGEST = float(np.finfo(np.float16).max)
"""Largest value of fp16: 65504."""

# Sums of products pass through larger values than their result, and other inputs give larger ones than the samples.
_HEADROOM = 4.0
_QDQ_OPSET = 19  # the first whose QuantizeLinear takes fp16


def write_fp16(model: ModelProto, magnitudes: Mapping[str, float] | None = None) -> ModelProto:
    """Return a copy that computes in fp16. Its inputs and outputs remain float32.

    Nodes that read or write values too large for fp16 remain in float32. A network with Q/DQ pairs gets opset 19.

    Args:
        model: A float32 network, or one with Q/DQ pairs.
        magnitudes: Largest absolute value of each tensor, by name; see ``magnitudes``.

    Raises:
        ModelError: The network cannot be converted.
    """
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    model = _raised(model) if _has_pairs(model) else _copied(model)
    _name_nodes(model)
    too_large = _too_large(model, magnitudes or {})
    blocked = [
        node.name
        for node in model.graph.node
        if node.op_type in DEFAULT_OP_BLOCK_LIST or too_large.intersection([*node.input, *node.output])
    ]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one for each weight that is rounded to the smallest fp16 number
            converted: ModelProto = convert_float_to_float16(model, keep_io_types=True, node_block_list=blocked)
        _join_casts(converted, blocked)
        OnnxModel(converted).topological_sort(is_deterministic=True)  # casts were put at the end
        onnx.checker.check_model(converted, full_check=True)
    except Exception as problem:  # whatever the converter or the checker throws
        raise ModelError(f"the conversion to fp16 failed: {problem}") from problem
    return converted


def magnitudes(path: Path, samples: Iterable[Mapping[str, Array]]) -> dict[str, float]:
    """Measure the largest absolute value of each float tensor that a network computes, by name.

    Args:
        path: Path of the float32 ``.onnx`` file.
        samples: Inputs by name, for one inference each.

    Raises:
        DataError: A sample is not finite.
        ModelError: A computed value is not finite, or the network fails.
    """
    from onnxruntime.quantization.calibrate import CalibrationDataReader, CalibrationMethod, create_calibrator

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._samples = iter(samples)

        def get_next(self) -> Mapping[str, Array] | None:
            sample = next(self._samples, None)
            if sample is not None and not all(np.isfinite(value).all() for value in sample.values()):
                raise DataError("calibration: a sample contains NaN or infinity; all inputs must be finite")
            return sample

    with tempfile.TemporaryDirectory() as folder:
        try:
            calibrator = create_calibrator(
                path,
                augmented_model_path=str(Path(folder) / "augmented.onnx"),
                calibrate_method=CalibrationMethod.MinMax,
            )
            calibrator.collect_data(Reader())
            ranges = {name: data.range_value for name, data in calibrator.compute_data().items()}
        except DataError:
            raise
        except Exception as problem:  # its exceptions share no base class of their own
            raise ModelError(f"inference of {path} failed on ONNX Runtime: {problem}") from problem
    largest = {name: float(np.max(np.abs(np.array(limits, np.float64)))) for name, limits in ranges.items()}
    not_finite = next((name for name, value in largest.items() if not math.isfinite(value)), None)
    if not_finite is not None:
        raise ModelError(f"{path}: tensor {not_finite} is NaN or infinity on a calibration sample; it must be finite")
    return largest


def _too_large(model: ModelProto, magnitudes: Mapping[str, float]) -> set[str]:
    """Names of tensors whose values exceed the range of fp16: measured activations, and constants."""
    names = {name for name, value in magnitudes.items() if value * _HEADROOM > LARGEST}
    constants = (tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT)
    return names | {
        tensor.name for tensor in constants if np.abs(numpy_helper.to_array(tensor)).max(initial=0) > LARGEST
    }


def _join_casts(model: ModelProto, blocked: Container[str]) -> None:
    """Remove casts to fp16 and back, which the converter inserts between two nodes that remain in float32."""
    graph = model.graph
    inputs = {value.name for value in graph.input}
    outputs = {value.name for value in graph.output}
    floats = inputs.union(*(node.output for node in graph.node if node.name in blocked))
    halved = {
        node.output[0]: node.input[0]
        for node in graph.node
        if _casts_to(node, TensorProto.FLOAT16) and node.input[0] in floats
    }
    for node in [node for node in graph.node if _casts_to(node, TensorProto.FLOAT) and node.input[0] in halved]:
        source, restored = halved[node.input[0]], node.output[0]
        if restored not in outputs:
            _rename(graph, restored, source)
        elif source not in inputs | outputs:
            _rename(graph, source, restored)
            halved = {name: restored if value == source else value for name, value in halved.items()}
        else:
            continue
        graph.node.remove(next(candidate for candidate in graph.node if candidate.name == node.name))
    needed = outputs.union(*(node.input for node in graph.node))
    for node in [node for node in graph.node if _casts_to(node, TensorProto.FLOAT16) and node.output[0] not in needed]:
        graph.node.remove(node)


def _rename(graph: GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


def _casts_to(node: NodeProto, kind: int) -> bool:
    return node.op_type == "Cast" and any(item.name == "to" and item.i == kind for item in node.attribute)


def _has_pairs(model: ModelProto) -> bool:
    return any(node.op_type == "QuantizeLinear" for node in model.graph.node)


def _raised(model: ModelProto) -> ModelProto:
    version = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if version >= _QDQ_OPSET:
        return _copied(model)
    try:
        converted: ModelProto = onnx.version_converter.convert_version(model, _QDQ_OPSET)
    except Exception as problem:  # whatever its C++ side throws
        raise ModelError(f"the model cannot be converted from opset {version} to {_QDQ_OPSET}: {problem}") from problem
    return converted


def _copied(model: ModelProto) -> ModelProto:
    copied = ModelProto()
    copied.CopyFrom(model)
    return copied


def _name_nodes(model: ModelProto) -> None:
    """Give each node a unique name, because the converter excludes nodes by name."""
    names = {node.name for node in model.graph.node}
    if len(names) < len(model.graph.node) or "" in names:
        for index, node in enumerate(model.graph.node):
            node.name = f"{node.name or node.op_type}_{index}"
