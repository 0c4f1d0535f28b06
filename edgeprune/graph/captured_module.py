"""Conversion of a captured program to a module that trains, saves and exports like the original network."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import Tensor, fx, nn
from torch.nn.modules.dropout import _DropoutNd

from edgeprune.graph.graph_operators import bind_arguments, is_operator_call, mutates, operator_name

_NORMS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
_NORM_STATE = ("weight", "bias", "running_mean", "running_var")
_DROPOUTS: dict[str, type[_DropoutNd]] = {
    "aten.dropout": nn.Dropout,
    "aten.alpha_dropout": nn.AlphaDropout,
    "aten.feature_alpha_dropout": nn.FeatureAlphaDropout,
}
_FEATURE_DROPOUTS: dict[int, type[_DropoutNd]] = {2: nn.Dropout1d, 3: nn.Dropout1d, 4: nn.Dropout2d, 5: nn.Dropout3d}


def captured_module(
    graph: fx.Graph, state: Mapping[str, Tensor], volatile: frozenset[str], bodies: Mapping[str, nn.Module]
) -> fx.GraphModule:
    """Return a module that runs ``graph`` with the tensors ``state``. ``graph`` is modified.

    The graph was captured in evaluation mode. Batch normalization, dropout and RReLU become modules again, so that
    ``train()`` enables them. Dropout and RReLU that are active in evaluation mode remain operators.

    Args:
        graph: Graph of the program.
        state: Parameters, buffers and constants by name. The ``state_dict`` of the module has the same names.
        volatile: Names of the buffers that are not part of the ``state_dict``.
        bodies: Modules that the graph reads, by name.
    """
    root = nn.Module()
    for name, body in bodies.items():
        parent, leaf = _parent(root, name)
        parent.add_module(leaf, copy.deepcopy(body))
    for node in list(graph.nodes):
        if is_operator_call(node):
            _restore_norm(root, node)
            _restore_random(root, node)
    for name, tensor in state.items():
        _attach(root, name, tensor, persistent=name not in volatile)
    module = fx.GraphModule(root, graph, class_name="Captured")
    for name, tensor in state.items():  # the constructor takes over only what the graph reads
        _attach(module, name, tensor, persistent=name not in volatile)
    return module


def _restore_norm(root: nn.Module, node: fx.Node) -> None:
    """Replace a batch normalization over the state of one module by that module, under its name."""
    if operator_name(node.target) != "aten.batch_norm":
        return
    arguments = bind_arguments(node.target, node.args, node.kwargs)
    state_names = {name: str(value.target) for name in _NORM_STATE if (value := arguments[name]) is not None}
    path = state_names.get("running_mean", "").removesuffix(".running_mean")
    if arguments["training"] or not path or any(target != f"{path}.{name}" for name, target in state_names.items()):
        return
    tensor = arguments["running_mean"].meta["val"]
    kind = _NORMS[arguments["input"].meta["val"].ndim]
    momentum = arguments["momentum"] or None  # what a cumulative average (momentum None) is captured as
    norm = kind(len(tensor), arguments["eps"], momentum, affine="weight" in state_names)
    _replace(root, node, path, norm, arguments["input"])


def _restore_random(root: nn.Module, node: fx.Node) -> None:
    name = operator_name(node.target)
    if name not in ("aten.rrelu", "aten.feature_dropout") and name not in _DROPOUTS:
        return
    arguments = bind_arguments(node.target, node.args, node.kwargs)
    if arguments["training" if name == "aten.rrelu" else "train"]:  # in evaluation too, so that no mode turns it off
        return
    value, in_place = node.args[0], mutates(node)
    assert isinstance(value, fx.Node)
    if name == "aten.rrelu":
        module: nn.Module = nn.RReLU(arguments["lower"], arguments["upper"], in_place)
    else:
        feature = _FEATURE_DROPOUTS.get(value.meta["val"].ndim, nn.Dropout2d)
        module = _DROPOUTS.get(name, feature)(arguments["p"], in_place)
    _replace(root, node, f"{node.name}_mode", module, value)


def _replace(root: nn.Module, node: fx.Node, path: str, module: nn.Module, value: fx.Node) -> None:
    """Call ``module``, registered at ``path``, instead of the operator."""
    graph = node.graph
    parent, leaf = _parent(root, path)
    if not isinstance(getattr(parent, leaf, None), type(module)):
        parent.add_module(leaf, module)
    with graph.inserting_before(node):
        call = graph.call_module(path, (value,))
    call.meta = dict(node.meta)
    node.replace_all_uses_with(call)
    graph.erase_node(node)
    for source in [source for source in graph.nodes if source.op == "get_attr" and not source.users]:
        graph.erase_node(source)


def _attach(root: nn.Module, path: str, tensor: Tensor, *, persistent: bool) -> None:
    """Register ``tensor`` at ``path``, and create the parent modules."""
    parent, leaf = _parent(root, path)
    if isinstance(tensor, nn.Parameter):
        parent.register_parameter(leaf, tensor)
    else:
        parent.register_buffer(leaf, tensor, persistent=persistent)


def _parent(root: nn.Module, path: str) -> tuple[nn.Module, str]:
    *parents, leaf = path.split(".")
    for name in parents:
        if not hasattr(root, name):
            root.add_module(name, nn.Module())
        root = getattr(root, name)
    return root, leaf
