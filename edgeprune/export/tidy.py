"""Clean-up of an ONNX graph in place: what no output needs goes, names read like the network's own."""

from __future__ import annotations

from collections.abc import Iterator

from onnx import GraphProto, ModelProto, NodeProto

from edgeprune.export.flat import Flat

_ANONYMOUS = "onnx::"
"""Before the names of tensors that PyTorch made itself, such as a weight with a BatchNorm folded in."""


def tidy(model: ModelProto) -> None:
    """Turn constant nodes into initializers; drop dead nodes, unused initializers, shape notes and doc strings."""
    graph = model.graph
    _inline_constants(graph)
    _drop_dead(graph)
    del graph.value_info[:]  # a tenth of a small file; every runtime infers them again
    del model.functions[:]
    # Cleared, not emptied: an empty one is written too.
    for noted in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        noted.ClearField("doc_string")
    for traced in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        del traced.metadata_props[:]  # Python stack traces
    _strip_prefix(graph)


def _inline_constants(graph: GraphProto) -> None:
    kept = []
    for node in graph.node:
        tensor = next((item.t for item in node.attribute if item.name == "value"), None)
        if node.op_type == "Constant" and tensor is not None:
            graph.initializer.add().CopyFrom(tensor)
            graph.initializer[-1].name = node.output[0]
        else:
            kept.append(node)
    _replace_nodes(graph, kept)


def _drop_dead(graph: GraphProto) -> None:
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):  # nodes are in topological order
        if needed.intersection(node.output):
            needed.update(_reads(node))
            kept.append(node)
    _replace_nodes(graph, kept[::-1])
    initializers = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(initializers)


def _reads(node: NodeProto) -> Iterator[str]:
    """Names that ``node`` reads, those inside its subgraphs included."""
    yield from node.input
    for graph in _subgraphs(node):
        yield from (value.name for value in graph.output)
        for inner in graph.node:
            yield from _reads(inner)


def _subgraphs(node: NodeProto) -> list[GraphProto]:
    single = [item.g for item in node.attribute if item.HasField("g")]
    return single + [graph for item in node.attribute for graph in item.graphs]


def _replace_nodes(graph: GraphProto, nodes: list[NodeProto]) -> None:
    del graph.node[:]
    graph.node.extend(nodes)


def _strip_prefix(graph: GraphProto) -> None:
    """Remove the name of the wrapper that the network was exported in, and of PyTorch's own, from names."""
    if any(_subgraphs(node) for node in graph.node):
        return  # their nodes read outer values by name
    dotted, slashed = f"{Flat.PREFIX}.", f"/{Flat.PREFIX}/"
    taken = {value.name for value in (*graph.input, *graph.output)}
    known = {name for node in graph.node for name in (*node.input, *node.output)}

    def short(name: str) -> str:
        if name.startswith(_ANONYMOUS) and name not in taken:
            number = name.removeprefix(_ANONYMOUS)
            return name if number in known else number
        stripped = "/" + name.removeprefix(slashed) if name.startswith(slashed) else name.removeprefix(dotted)
        return name if stripped in taken else stripped

    for node in graph.node:
        node.name = short(node.name)
        node.input[:] = [short(name) for name in node.input]
        node.output[:] = [short(name) for name in node.output]
    for tensor in graph.initializer:
        tensor.name = short(tensor.name)
