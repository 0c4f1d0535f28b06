"""Constant folding: masks and tables that depend on neither inputs nor weights are computed once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from edgeprune.graph.graph_operators import aliases, is_operator_call, is_random, mutates


def fold_constants(module: fx.GraphModule, state: frozenset[str]) -> None:
    """Replace the constant parts of the graph of ``module`` by buffers of the module, in place.

    ``state`` contains the names of parameters and buffers, which may change. In-place writes of the forward (a mask
    filled window by window) are evaluated in the order of execution.
    """
    graph = module.graph
    constant = _constant_nodes(graph, state)
    values: dict[fx.Node, Any] = {}
    for node in graph.nodes:
        if node in constant:
            values[node] = _evaluate(module, node, values)
    count = 0
    for node in list(graph.nodes):
        users = [user for user in node.users if user not in constant]
        if node in constant and node.op == "call_function" and users and isinstance(values[node], Tensor):
            name = f"_constant_{count}"
            count += 1
            module.register_buffer(name, values[node].detach().clone(), persistent=False)
            with graph.inserting_before(node):
                read = graph.get_attr(name)
            read.meta = dict(node.meta)
            node.replace_all_uses_with(read, lambda user: user not in constant)
    for node in reversed(graph.nodes):
        if node in constant and not node.users:
            graph.erase_node(node)
    module.recompile()


def _constant_nodes(graph: fx.Graph, state: frozenset[str]) -> set[fx.Node]:
    """Return the nodes whose values are the same in every run."""
    root: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        source = node.args[0] if node.args else None
        shared = isinstance(source, fx.Node) and aliases(node)
        root[node] = root[source] if shared and isinstance(source, fx.Node) else node
    varying: set[fx.Node] = set()
    while True:
        constant: set[fx.Node] = set()
        for node in graph.nodes:
            if node.op == "get_attr":
                fixed = node.target not in state and isinstance(node.meta.get("val"), Tensor)
            else:
                fixed = (
                    node.op == "call_function"
                    and all(source in constant for source in node.all_input_nodes)
                    and not is_random(node)
                    and (bool(node.all_input_nodes) or is_operator_call(node))
                )
            if fixed and root[node] not in varying:
                constant.add(node)
        # A constant that varying data is written into varies, and so does all that shares its memory.
        written = {root[node.args[0]] for node in graph.nodes if mutates(node) and node not in constant}
        if written <= varying:
            return constant
        varying |= written


def _evaluate(module: fx.GraphModule, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
    if node.op == "get_attr":
        value: Any = module
        for part in str(node.target).split("."):
            value = getattr(value, part)
        return value.clone()
    args, kwargs = fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
    with torch.no_grad():
        return node.target(*args, **kwargs)  # type: ignore[operator]
