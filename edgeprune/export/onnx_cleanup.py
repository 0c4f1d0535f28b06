"""Clean-up of an ONNX graph: removes unused parts, and restores the names of the network."""

from __future__ import annotations

import onnx_ir as ir
from onnx import ModelProto, helper
from onnx_ir.passes import common
from onnx_ir.traversal import RecursiveGraphIterator

from edgeprune.export.flat_io import FlatNetwork

_ANONYMOUS = "onnx::"
"""Prefix of the names of tensors that PyTorch created, such as a weight with a folded BatchNorm."""


def tidy(model: ir.Model) -> ModelProto:
    """Serialize ``model`` without functions, inferred shapes and doc strings. This changes ``model``.

    Constant nodes become initializers. Dead nodes, unused initializers and unused operator sets are removed. The
    version of the format is the lowest that supports the operator sets.
    """
    model.functions.clear()
    ir.passes.Sequential(
        common.LiftConstantsToInitializersPass(size_limit=0),
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedOpsetsPass(),
    )(model)
    model.ir_version = helper.find_min_ir_version_for(
        [helper.make_opsetid(*entry) for entry in model.opset_imports.items()]
    )
    _strip_prefix(model.graph)
    proto = ir.to_proto(model)
    graph = proto.graph
    del graph.value_info[:]  # a tenth of a small file; every runtime infers them again
    # Cleared, not emptied: an empty one is written too.
    for noted in (proto, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        noted.ClearField("doc_string")
    for traced in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        traced.ClearField("metadata_props")  # Python stack traces
    return proto


def _strip_prefix(graph: ir.Graph) -> None:
    """Remove the prefixes of the wrapper and of PyTorch from names."""
    nodes = list(RecursiveGraphIterator(graph))
    values = [*graph.initializers.values(), *(value for node in nodes for value in node.outputs)]
    dotted, slashed = f"{FlatNetwork.PREFIX}.", f"/{FlatNetwork.PREFIX}/"
    port_names = {value.name for value in (*graph.inputs, *graph.outputs)}
    value_names = {value.name for value in values}

    def short(name: str | None) -> str:
        if not name or name in port_names:
            return name or ""
        if name.startswith(_ANONYMOUS):
            number = name.removeprefix(_ANONYMOUS)
            return name if number in value_names else number
        stripped = "/" + name.removeprefix(slashed) if name.startswith(slashed) else name.removeprefix(dotted)
        return name if stripped in port_names else stripped

    for node in nodes:
        node.name = short(node.name)
    ir.convenience.rename_values(values, [short(value.name) for value in values])
