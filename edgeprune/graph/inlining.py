"""Inlining of code blocks that ``torch.export`` captures as separate graphs: autocast and gradient modes."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx

_AUTOCAST = torch.ops.higher_order.wrap_with_autocast
_GRADIENT_MODE = torch.ops.higher_order.wrap_with_set_grad_enabled
_OPTIONS = {_AUTOCAST: 4, _GRADIENT_MODE: 1}
"""Number of arguments before the body: device, dtype, enabled and cache, or whether gradients are enabled."""


def inline_blocks(module: fx.GraphModule) -> None:
    """Replace each block by its operators, in place. Casts of an enabled autocast become operators, too.

    A pruned program then has rules, and costs, for all operators of the network.
    """
    blocks = [node for node in module.graph.nodes if node.op == "call_function" and node.target in _OPTIONS]
    for node in blocks:
        _inline(module, node)
    if blocks:
        module.recompile()


def _inline(module: fx.GraphModule, block: fx.Node) -> None:
    options = _OPTIONS[block.target]  # type: ignore[index]
    body_node, *arguments = block.args[options:]
    assert isinstance(body_node, fx.Node)
    body = getattr(module, str(body_node.target))
    inline_blocks(body)
    autocasts = block.target is _AUTOCAST and bool(block.args[2])
    copies: dict[fx.Node, Any] = {}
    remaining = iter(arguments)
    with module.graph.inserting_before(block):
        for node in body.graph.nodes:
            if node.op == "placeholder":
                copies[node] = next(remaining)
            elif node.op == "output":
                outputs = fx.node.map_arg(node.args[0], copies.__getitem__)
            else:
                copies[node] = module.graph.node_copy(node, copies.__getitem__)
                if node.op == "get_attr":
                    _move_attribute(body, module, copies[node])
                elif autocasts:
                    _cast_arguments(module.graph, copies[node])
    for user in list(block.users):
        assert user.target is operator.getitem, f"{user.target} reads all results of {block.target}"
        user.replace_all_uses_with(outputs[user.args[1]])
        module.graph.erase_node(user)
    module.graph.erase_node(block)
    if not body_node.users:
        module.graph.erase_node(body_node)


def _move_attribute(body: fx.GraphModule, module: fx.GraphModule, node: fx.Node) -> None:
    """Give ``module`` the constant or graph that ``node`` reads from ``body``, under a new name."""
    value = getattr(body, str(node.target))
    name, count = str(node.target), 0
    while hasattr(module, name):
        count += 1
        name = f"{node.target}_{count}"
    if isinstance(value, Tensor):
        module.register_buffer(name, value, persistent=False)
    else:
        setattr(module, name, value)
    node.target = name


def _cast_arguments(graph: fx.Graph, node: fx.Node) -> None:
    """Cast floating-point arguments of ``node`` to the type of its result, as autocast does.

    Operators that convert between types themselves are unchanged: they are recorded with their own ``dtype``.
    """
    dtype = _float_dtype(node.meta.get("val"))
    if dtype is None or "dtype" in node.kwargs or "aten.to." in str(node.target) or "_to_copy" in str(node.target):
        return

    def cast(argument: fx.Node) -> fx.Node:
        if _float_dtype(argument.meta.get("val")) in (None, dtype) or not isinstance(argument.meta["val"], Tensor):
            return argument
        with graph.inserting_before(node):
            converted = graph.call_function(torch.ops.aten.to.dtype, (argument, dtype))
        converted.meta = {**node.meta, "val": argument.meta["val"].to(dtype)}
        return converted

    node.args = fx.node.map_arg(node.args, cast)
    node.kwargs = fx.node.map_arg(node.kwargs, cast)


def _float_dtype(value: Any) -> torch.dtype | None:
    """Return the type of the first floating-point tensor of ``value``; None if there is none."""
    values = value if isinstance(value, (list, tuple)) else [value]
    return next((one.dtype for one in values if isinstance(one, Tensor) and one.is_floating_point()), None)
