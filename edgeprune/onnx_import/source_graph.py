"""Verified content of an ONNX file: nodes, initializers, inputs and outputs."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import torch
from onnx import ModelProto
from onnx_ir.passes.common import InlinePass
from torch import Tensor

from edgeprune.errors import ModelError
from edgeprune.export import onnx_loading
from edgeprune.export.onnx_functions import defined_by_functions, with_inlined_functions
from edgeprune.export.onnx_loading import first_line
from edgeprune.export.onnx_modules import module_path
from edgeprune.safe_text import printable

logger = logging.getLogger(__name__)

OLDEST_OPSET = 7
"""Operators broadcast without attributes since opset 7."""
_OTHER_FLOATS = frozenset(
    {ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE}
)  # computed in float32, as weights are trained


@dataclass(frozen=True)
class SourceNode:
    """Node of an ONNX graph.

    Attributes:
        name: Name of the node; that of the first output if the file has none.
        op: Operator, with its domain if that is not the default domain.
        opset: Version of the default operator set.
        inputs: Names of the inputs; empty for an omitted input.
        outputs: Names of the outputs; empty for an omitted output.
        attributes: Attributes by name. Tensors are of torch.
        module: Path of the module it was exported from; empty if the file does not state it.
        problem: Reason why the operator cannot be imported, whatever its name; empty if there is none.
    """

    name: str
    op: str
    opset: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    module: str = ""
    problem: str = ""

    @property
    def where(self) -> str:
        """Location of the node for messages."""
        return f"node {printable(self.name)} ({printable(self.op)})"

    def input(self, index: int) -> str:
        """Return the name of an input; empty if it is omitted."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def output(self, index: int) -> str:
        """Return the name of an output; empty if it is omitted."""
        return self.outputs[index] if index < len(self.outputs) else ""

    def get(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)

    def unsupported(self, actual: str, allowed: str) -> ModelError:
        """Return the error for a variant of the operator that has no importer."""
        return ModelError(f"{self.where} has {actual}, which cannot be imported; it must be {allowed}")


@dataclass(frozen=True)
class SourceInput:
    """Input of an ONNX graph.

    Attributes:
        name: Name of the input.
        shape: Its sizes; None for a dynamic one.
        dims: Names of its dimensions for messages: the size, or the name of a dynamic dimension.
        dtype: Type of the elements.
    """

    name: str
    shape: tuple[int | None, ...]
    dims: tuple[str, ...]
    dtype: torch.dtype


@dataclass(frozen=True)
class SourceGraph:
    """Content of an ONNX file.

    Attributes:
        path: Path of the file.
        proto: The file, including external data.
        nodes: Nodes in topological order.
        initializers: Constant tensors by name, in float32 where the file has another type of floats.
        inputs: Inputs, in the order of the file.
        outputs: Names of the outputs, in the order of the file.
        is_converted: Whether the file computes with other floats than float32.
    """

    path: Path
    proto: ModelProto
    nodes: tuple[SourceNode, ...]
    initializers: Mapping[str, Tensor]
    inputs: tuple[SourceInput, ...]
    outputs: tuple[str, ...]
    is_converted: bool


def read_graph(path: Path, supported: Collection[str]) -> SourceGraph:
    """Read and verify an ONNX file.

    Args:
        path: Path of the file.
        supported: Operators that are read as they are. Others are replaced by the functions that define them in ONNX.

    Raises:
        ModelError: The file cannot be read, is not valid, or has an opset before ``OLDEST_OPSET``.
    """
    proto = onnx_loading.load_file(path)
    try:
        onnx.checker.check_model(proto)
        model = ir.from_proto(proto)
        InlinePass()(model)
        model = _inlined(model, supported)
        model.graph.sort()
    except Exception as problem:  # checker and onnx-ir raise classes of their own
        raise ModelError(f"{path} is not a valid ONNX model: {first_line(problem)}") from problem
    opset = _opset(model)
    if model.graph.num_nodes() and 0 < opset < OLDEST_OPSET:
        raise ModelError(
            f"{path} has opset {opset}, but files can be imported from opset {OLDEST_OPSET}: export the network again"
        )
    graph = model.graph
    initializers = {
        name: _tensor(value.const_value, name) for name, value in graph.initializers.items() if value.const_value
    }
    inputs = tuple(_input(value, path) for value in graph.inputs if value.name not in initializers)
    types = {value.dtype for value in (*graph.inputs, *graph.initializers.values())}
    return SourceGraph(
        path=path,
        proto=proto,
        nodes=tuple(_node(node, opset) for node in graph),
        initializers=initializers,
        inputs=inputs,
        outputs=tuple(value.name or "" for value in graph.outputs),
        is_converted=not _OTHER_FLOATS.isdisjoint(types),
    )


def torch_dtype(data_type: int) -> torch.dtype | None:
    """Return the type of torch for a type of ONNX, float32 for all floats; None if torch has no such type."""
    kind = ir.DataType(data_type)
    if kind in _OTHER_FLOATS:
        return torch.float32
    try:
        return torch.from_numpy(np.empty(0, kind.numpy())).dtype
    except (TypeError, ValueError, KeyError):
        return None


def _inlined(model: ir.Model, supported: Collection[str]) -> ir.Model:
    """Return the model with functions of ONNX in place of operators that are neither ``supported`` nor quantized."""
    supported = {*supported, *(node.op_type for node in model.graph if _is_quantized(node))}
    kinds = {node.op_type for node in model.graph if node.domain in ("", "ai.onnx")}
    if not defined_by_functions(kinds - supported, _opset(model)):
        return model
    return ir.from_proto(with_inlined_functions(ir.to_proto(model), supported))


def _opset(model: ir.Model) -> int:
    return model.opset_imports.get("", 0) or model.opset_imports.get("ai.onnx", 0)


def _node(node: ir.Node, opset: int) -> SourceNode:
    outputs = tuple(value.name or "" for value in node.outputs)
    name = node.name or next(filter(None, outputs), "")
    domain = "" if node.domain in ("", "ai.onnx") else f"{node.domain}."
    attributes, problem = {}, ""
    for key, item in node.attributes.items():
        if item.is_ref() or item.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS):
            problem = "control flow, whose subgraphs cannot be trained as one graph"
        elif item.type == ir.AttributeType.TENSOR:
            attributes[key] = _tensor(item.value, name)
        else:
            attributes[key] = item.value
    if domain:
        problem = f"an operator of the domain {node.domain}, which runtimes add when they optimize a file"
    elif _is_quantized(node):
        problem = "quantized arithmetic, which cannot be trained"
    return SourceNode(
        name=name,
        op=domain + node.op_type,
        opset=opset,
        inputs=tuple("" if value is None else value.name or "" for value in node.inputs),
        outputs=outputs,
        attributes=attributes,
        module=module_path(ir.to_proto(node)),
        problem=problem,
    )


def _is_quantized(node: ir.Node) -> bool:
    """Return whether the operator reads or writes the zero point of quantized values."""
    try:
        schema = onnx.defs.get_schema(node.op_type)
    except onnx.defs.SchemaError:
        return False
    return any("zero_point" in port.name for port in (*schema.inputs, *schema.outputs))


def _tensor(value: Any, name: str) -> Tensor:
    array = value.numpy()
    if value.dtype in _OTHER_FLOATS:
        array = array.astype(np.float32)
    try:
        return torch.from_numpy(np.array(array))  # a copy: the file's memory is read-only
    except TypeError as problem:
        raise ModelError(
            f"'{printable(name)}' is of type {value.dtype.name}, which PyTorch does not have: export the network "
            "in float32"
        ) from problem


def _input(value: ir.Value, path: Path) -> SourceInput:
    dtype = None if value.dtype is None else torch_dtype(int(value.dtype))
    if value.shape is None or dtype is None:
        missing = "shape" if value.shape is None else "type that PyTorch has"
        raise ModelError(f"{path}: input '{printable(value.name or '')}' must have a {missing}: export the model again")
    sizes = tuple(size if isinstance(size, int) and size > 0 else None for size in value.shape)
    dims = tuple(str(size if isinstance(size, int) else size.value or "?") for size in value.shape)
    return SourceInput(value.name or "", sizes, tuple(map(printable, dims)), dtype)
