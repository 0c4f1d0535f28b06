"""Recurrent states that a network takes as inputs and returns as outputs, so that they shrink with the hidden units."""

from __future__ import annotations

import operator
from collections import Counter
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx
from torch.utils import _pytree as pytree

from edgeprune.graph.capture import Program
from edgeprune.graph.graph_operators import is_operator_call, operator_name
from edgeprune.graph.rules import rule_for
from edgeprune.operator_facts.aten_operators import ATEN


@dataclass(frozen=True)
class RecurrentStates:
    """States of a program.

    Attributes:
        inputs: Placeholders that recurrent layers read as initial state. Their last dimension has the hidden units.
        outputs: Outputs that are final states.
    """

    inputs: frozenset[fx.Node] = frozenset()
    outputs: frozenset[fx.Node] = frozenset()


def recurrent_states(program: Program) -> RecurrentStates:
    """Return the states of ``program``. There are none unless every state is both taken and returned, in one shape."""
    nodes = program.graph.nodes
    inputs = {source for node in nodes for state in _initial_states(node) if (source := _placeholder(state))}
    results = [node for node in pytree.tree_leaves(program.graph.output_node().args[0]) if isinstance(node, fx.Node)]
    outputs = [node for node in results if _is_final_state(node)]
    shapes = (Counter(program.shape(node) for node in group) for group in (inputs, outputs))
    if Counter(next(shapes)) != next(shapes):
        return RecurrentStates()
    return RecurrentStates(frozenset(inputs), frozenset(outputs))


def _first_state(node: Any) -> int | None:
    """Return the number of the first result of a recurrent operator that is a state; None for other operators."""
    rule = rule_for(operator_name(node.target)) if is_operator_call(node) else None
    return None if rule is None else rule.first_state


def _initial_states(node: fx.Node) -> list[fx.Node]:
    if _first_state(node) is None:
        return []
    return [state for state in pytree.tree_leaves(node.args[1]) if isinstance(state, fx.Node)]


def _placeholder(node: fx.Node) -> fx.Node | None:
    """Return the input of the network that ``node`` is, apart from movements of its elements."""
    while (source := _moved(node)) is not None:
        node = source
    return node if node.op == "placeholder" and isinstance(node.meta.get("val"), Tensor) else None


def _is_final_state(node: fx.Node) -> bool:
    """Return whether ``node`` is a final state of a recurrent layer, or joins final states of several layers."""
    if _first_state(node) == 0:
        return True
    if node.target is operator.getitem:
        call, index = node.args
        first = _first_state(call)
        if first is not None:
            return isinstance(index, int) and index >= first
    if is_operator_call(node) and operator_name(node.target) in ("aten.cat", "aten.stack"):
        return all(_is_final_state(source) for source in node.all_input_nodes)
    source = _moved(node)
    return source is not None and _is_final_state(source)


def _moved(node: fx.Node) -> fx.Node | None:
    """Return the tensor whose elements ``node`` only moves, otherwise None."""
    if node.target is operator.getitem:
        return node.args[0]  # type: ignore[return-value]
    if not is_operator_call(node):
        return None
    facts = ATEN[operator_name(node.target)]
    source = node.args[0] if node.args and (facts.moves or facts.copies) else None
    return source if isinstance(source, fx.Node) else None
