"""Labels of all tensors of a program, and the couplings between their coordinates, from one pass over the program."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, fx

from edgeprune.errors import InputError
from edgeprune.graph.capture import Program
from edgeprune.graph.coupling import Coupling
from edgeprune.graph.graph_operators import is_operator_call, operator_name
from edgeprune.graph.index_labels import Labels
from edgeprune.graph.operator_call import Call, macs_of
from edgeprune.graph.recurrent_states import recurrent_states
from edgeprune.graph.rules import Rule, rule_for
from edgeprune.graph.rules.pointwise import Pointwise, is_pointwise

_POINTWISE = Pointwise()


@dataclass(frozen=True)
class Coordinates:
    """Labels of each tensor of a program, and the couplings between them.

    Attributes:
        program: Captured network.
        labels: Labels of each node with tensors.
        coupling: Ties, freezes and costs of calls.
        aliases: Further names of a shared tensor, each with the name of its owner.
        exclude: Globs of the layers that are not pruned.
    """

    program: Program
    labels: Mapping[fx.Node, Labels | list[Labels]]
    coupling: Coupling
    aliases: Mapping[str, str]
    exclude: tuple[str, ...] = ()


def follow(program: Program, *, exclude: Sequence[str] = (), attention: str = "heads") -> Coordinates:
    """Label each dimension of each tensor of ``program``.

    Args:
        program: Captured network.
        exclude: Globs over parameter names (``head.*``). Matching parameters are frozen.
        attention: Channels to remove where they are split into heads: whole ``heads``, or the same ``head_dim``
            positions of each head.
    """
    if attention not in ("heads", "head_dim"):
        raise InputError(f"attention: got {attention!r}, must be 'heads' or 'head_dim'")
    coupling = Coupling(attention=attention)
    labels: dict[fx.Node, Any] = {}
    shared: dict[int, tuple[str, Labels]] = {}
    _walk(program, labels, coupling, shared)
    if program.training is not None:
        # Training mode only adds couplings. The operations are those of evaluation mode.
        work = coupling.products, coupling.consumed, coupling.inexact
        coupling.products, coupling.consumed, coupling.inexact = {}, {}, set()
        _walk(program.training, labels, coupling, shared)
        coupling.products, coupling.consumed, coupling.inexact = work
    _exclude(coupling, exclude)
    aliases = {}
    for captured in [program] if program.training is None else [program, program.training]:
        for node in captured.graph.nodes:
            if node in labels and node.op == "get_attr":
                first, _ = shared[id(captured.tensor(node))]
                if first != node.target:
                    aliases[str(node.target)] = first
    return Coordinates(program, labels, coupling, aliases, tuple(exclude))


def _walk(
    program: Program, labels: dict[fx.Node, Any], coupling: Coupling, shared: dict[int, tuple[str, Labels]]
) -> None:
    states = recurrent_states(program)
    for node in program.graph.nodes:
        if node.op == "get_attr":
            if isinstance(program.attribute(node), Tensor):
                labels[node] = _label_state(program, node, coupling, shared)
        elif node.op == "placeholder":
            shape = program.shape(node)
            if node in states.inputs and shape:
                units = coupling.new(node.name, len(shape) - 1, shape[-1], parameter=False)
                labels[node] = Labels.of(shape, {-1: units})
            elif shape is not None:
                labels[node] = Labels(shape)
        elif node.op == "call_function":
            label = _label_call(program, node, labels, coupling)
            if label is not None:
                labels[node] = label
        elif node.op == "output":
            for source in node.all_input_nodes:
                if isinstance(labels.get(source), Labels) and source not in states.outputs:
                    coupling.freeze_all(labels[source], "output of the network")


def _label_state(program: Program, node: fx.Node, coupling: Coupling, shared: dict[int, tuple[str, Labels]]) -> Labels:
    """Return the labels of a parameter, buffer or constant: new ids along each dimension, once for a shared tensor."""
    tensor = program.tensor(node)
    if id(tensor) not in shared:
        vectors = {
            dim: coupling.new(str(node.target), dim, size, parameter=True)
            for dim, size in enumerate(tensor.shape)
            if size > 1
        }
        shared[id(tensor)] = str(node.target), Labels.of(tensor.shape, vectors)
    return shared[id(tensor)][1]


def _label_call(program: Program, node: fx.Node, labels: dict[fx.Node, Any], coupling: Coupling) -> Any:
    if node.target is operator.getitem:
        source = labels.get(node.args[0])  # type: ignore[arg-type]
        return source[node.args[1]] if isinstance(source, list) else None  # type: ignore[index]
    if not _gives_tensors(node):
        return None
    if not is_operator_call(node):
        return _freeze_unknown(program, node, labels, coupling)
    call = Call(program, node, labels)
    rule: Rule | None = rule_for(call.name)
    if rule is None and is_pointwise(node.target):
        rule = _POINTWISE
    return _freeze_unknown(program, node, labels, coupling) if rule is None else rule.couple(call, coupling)


def _gives_tensors(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return any(isinstance(item, Tensor) for item in (value if isinstance(value, (list, tuple)) else [value]))


def _freeze_unknown(program: Program, node: fx.Node, labels: dict[fx.Node, Any], coupling: Coupling) -> Any:
    """Freeze all inputs of an operator without a rule, count its MACs, and return opaque labels of its outputs."""
    coupling.multiply(node, (), (), macs_of(program, node))
    for source in node.all_input_nodes:
        if isinstance(labels.get(source), Labels):
            coupling.freeze_all(labels[source], f"no rule for the operator {operator_name(node.target)}")
    value = node.meta["val"]
    if isinstance(value, Tensor):
        return Labels(program.shape(node) or ())
    return [
        Labels(tuple(program.concrete(size) for size in item.shape)) if isinstance(item, Tensor) else None
        for item in value
    ]


def _exclude(coupling: Coupling, patterns: Sequence[str]) -> None:
    for pattern in patterns:
        matched = [
            owner
            for owner in coupling.owners
            if owner.parameter and (fnmatchcase(owner.name, pattern) or fnmatchcase(layer_name(owner.name), pattern))
        ]
        if not matched:
            names = sorted({layer_name(owner.name) for owner in coupling.owners if owner.parameter})
            raise InputError(
                f"exclude: {pattern!r} matches no layer or parameter, expected a pattern for {', '.join(names[:12])}"
                + (", ..." if len(names) > 12 else "")
            )
        for owner in matched:
            ids = torch.arange(owner.start, owner.start + owner.size)
            coupling.freezes.insert(0, (ids, f"excluded by {pattern!r}"))


def layer_name(parameter: str) -> str:
    """Return the layer of a parameter: ``layer1.0.conv1`` for ``layer1.0.conv1.weight``."""
    layer, _, leaf = parameter.rpartition(".")
    return layer if leaf in ("weight", "bias") and layer else parameter
