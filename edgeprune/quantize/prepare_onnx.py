"""Preparation of a float ONNX model for quantization."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import ModelProto, TensorProto

from edgeprune.errors import ModelError
from edgeprune.export.onnx_loading import first_line, load_file
from edgeprune.export.output_capture import logged

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedModel:
    """Float model that is ready for quantization.

    Attributes:
        model: Model with folded constants, known shapes and named nodes.
        input_name: Name of its only input.
        shape: Shape of a sample, (C, H, W).
    """

    model: ModelProto
    input_name: str
    shape: tuple[int, ...]


def prepare(path: Path) -> PreparedModel:
    """Read ``path``, and fold constants and infer shapes with ONNX Runtime's ``quant_pre_process``.

    Raises:
        ModelError: The file cannot be read (see ``onnx_loading.load_file``) or is quantized already, or its signature
            is not a single float input of fixed shape with batch 1 or an open batch.
    """
    import onnxruntime
    from onnxruntime.quantization.shape_inference import quant_pre_process

    model = load_file(path)
    name, shape = _signature(model, path)
    with tempfile.TemporaryDirectory() as folder, logged(logger):
        output = Path(folder) / "prepared.onnx"
        onnxruntime.set_default_logger_severity(3)  # errors; it warns of what nobody can change
        try:
            # Shapes are fixed, so that those ONNX infers are enough.
            quant_pre_process(str(path), str(output), skip_symbolic_shape=True)
        except Exception as problem:  # whatever its passes raise
            raise ModelError(f"ONNX Runtime cannot prepare {path} for quantization: {first_line(problem)}") from problem
        finally:
            onnxruntime.set_default_logger_severity(2)  # the default
        model = onnx.load(output)  # by ONNX Runtime, from a model that is within the limits
    del model.metadata_props[:]
    _name_nodes(model)
    return PreparedModel(model, name, shape)


def _signature(model: ModelProto, path: Path) -> tuple[str, tuple[int, ...]]:
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    kinds = {node.op_type for node in model.graph.node}
    if "QuantizeLinear" in kinds or "QLinearConv" in kinds:
        raise ModelError(f"{path}: expected a float model, found a quantized one")
    if len(inputs) != 1 or inputs[0].type.tensor_type.elem_type != TensorProto.FLOAT:
        actual = ", ".join(f"{value.name} of type {value.type.tensor_type.elem_type}" for value in inputs)
        raise ModelError(f"{path}: static quantization needs a model with one float32 input, got {actual or 'none'}")
    sizes = [dim.dim_value for dim in inputs[0].type.tensor_type.shape.dim]  # 0: open
    if not sizes or sizes[0] > 1 or not all(sizes[1:]):
        raise ModelError(
            f"{path}: input {inputs[0].name} has shape {sizes} (0: open), but static quantization needs batch 1 or "
            "an open "
            "batch, and fixed other sizes: export the model again"
        )
    return inputs[0].name, tuple(sizes[1:])


def _name_nodes(model: ModelProto) -> None:
    """Give each node a unique name, because the quantizer finds nodes by name."""
    names: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if not node.name or node.name in names:
            node.name = f"{node.op_type}_{index}"
        names.add(node.name)
