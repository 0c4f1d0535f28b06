"""The captured program as a module of its own: trains, saves and exports like the network it came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, fx, nn

from edgeprune.graph.operators import argument_names, operator_name, schema

_MODE_ARGUMENTS = {
    "aten.batch_norm": "training",
    "aten.instance_norm": "use_input_stats",
    "aten.dropout": "train",
    "aten.feature_dropout": "train",
    "aten.alpha_dropout": "train",
    "aten.feature_alpha_dropout": "train",
}


class ModeDependent(nn.Module):
    """An operator whose argument at ``position`` follows ``self.training``: batch normalisation, dropout."""

    def __init__(self, operator: Any, position: int) -> None:
        super().__init__()
        self.operator = operator
        self.position = position

    def forward(self, *args: Any) -> Any:
        return self.operator(*args[: self.position], self.training, *args[self.position + 1 :])


def captured_module(graph: fx.Graph, state: Mapping[str, Tensor], volatile: frozenset[str]) -> fx.GraphModule:
    """A module that runs ``graph`` over ``state``.

    All of ``state`` is in its ``state_dict``, under the same names, but for the buffers named ``volatile``. The graph
    was captured in evaluation mode; ``train()`` turns batch statistics and dropout on again.
    """
    root = nn.Module()
    for name, tensor in state.items():
        _attach(root, name, tensor, persistent=name not in volatile)
    for index, node in enumerate(list(graph.nodes)):
        argument = _MODE_ARGUMENTS.get(operator_name(node.target)) if node.op == "call_function" else None
        if argument is not None:
            _follow_mode(root, graph, node, argument, f"_modes.{index}")
    module = fx.GraphModule(root, graph, class_name="Captured")
    for name, tensor in state.items():
        _attach(module, name, tensor, persistent=name not in volatile)
    return module


def _follow_mode(root: nn.Module, graph: fx.Graph, node: fx.Node, argument: str, path: str) -> None:
    names = argument_names(node.target)
    defaults = [declared.default_value for declared in schema(node.target).arguments]
    args = [*node.args, *defaults[len(node.args) :]]
    for name, value in node.kwargs.items():
        args[names.index(name)] = value
    parent, _, leaf = path.rpartition(".")
    if not hasattr(root, parent):
        root.add_module(parent, nn.Module())
    getattr(root, parent).add_module(leaf, ModeDependent(node.target, names.index(argument)))
    with graph.inserting_before(node):
        follower = graph.call_module(path, tuple(args))
    node.replace_all_uses_with(follower)
    graph.erase_node(node)


def _attach(root: nn.Module, path: str, tensor: Tensor, *, persistent: bool) -> None:
    """Register ``tensor`` at ``path``, making the modules above it."""
    *parents, leaf = path.split(".")
    for parent in parents:
        if not hasattr(root, parent):
            root.add_module(parent, nn.Module())
        root = getattr(root, parent)
    if isinstance(tensor, nn.Parameter):
        root.register_parameter(leaf, tensor)
    else:
        root.register_buffer(leaf, tensor, persistent=persistent)
