"""The program's graph with the sizes that are left after units went."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from edgeprune.errors import PlanError
from edgeprune.graph.graph_operators import argument_names, is_operator_call, module_path, mutates
from edgeprune.graph.index_labels import FIRST, Labels
from edgeprune.graph.operator_call import Call
from edgeprune.graph.rules import Keep, rule_for
from edgeprune.graph.rules.base import TARGET
from edgeprune.graph.rules.data_movement import move
from edgeprune.graph.units import Units, keep_masks, shape_left
from edgeprune.operator_facts.aten_operators import ATEN

_ATTRIBUTES = ("groups", "num_groups", "normalized_shape")


@dataclass
class ResizedGraph:
    """A graph whose size arguments fit the smaller tensors.

    ``attributes`` are call arguments that a module holds as an attribute (``groups``), by the module's path.
    ``rewritten`` names calls whose sizes or indices changed: the network's forward may have written them down.
    ``tables`` are tensors of indices that the graph reads, by attribute name.
    """

    graph: fx.Graph
    attributes: dict[str, dict[str, Any]] = field(default_factory=dict)
    rewritten: list[str] = field(default_factory=list)
    tables: dict[str, Tensor] = field(default_factory=dict)


def resize(units: Units, removed: Tensor) -> ResizedGraph:
    """Recompute every size argument of the program for what stays when the units in the mask ``removed`` go.

    Data movement is checked by moving ids: a call that no longer brings each id to its place is replaced by a gather.

    Raises:
        PlanError: a part of the program cannot be expressed at the smaller size.
    """
    return _Resizer(units, removed).run()


class _Resizer:
    def __init__(self, units: Units, removed: Tensor) -> None:
        self.program = units.coordinates.program
        self.labels = units.coordinates.labels
        self.gone = units.gone(removed)
        self.result = ResizedGraph(fx.Graph())
        self.new: dict[fx.Node, fx.Node] = {}
        self.parts: dict[fx.Node, list[fx.Node]] = {}
        """The outputs of a call that was replaced by one gather for each."""
        self.irregular: set[fx.Node] = set()
        """Nodes without a value in the new graph: what stays of them is no box."""

    def run(self) -> ResizedGraph:
        for node in self.program.graph.nodes:
            if node.target is operator.getitem and node.args[0] in self.parts:
                self.new[node] = self.parts[node.args[0]][node.args[1]]
            elif is_operator_call(node) and node in self.labels:
                self._call(Call(self.program, node, self.labels))
            else:
                self._copy(node)
        graph = self.result.graph
        graph.set_codegen(self.program.graph._codegen)  # noqa: SLF001
        for node in reversed(graph.nodes):
            if not node.users and node.op in ("call_function", "get_attr") and not mutates(node):
                graph.erase_node(node)
        graph.lint()
        return self.result

    def _copy(self, node: fx.Node) -> None:
        lost = [source for source in node.all_input_nodes if source in self.irregular]
        if lost and node.target is operator.getitem:
            self.irregular.add(node)
        elif lost:
            raise PlanError(
                f"{node.name} in {module_path(node) or 'the network'}: what is left of {lost[0].name} has no regular "
                "shape there; exclude the layers around it"
            )
        else:
            self.new[node] = self.result.graph.node_copy(node, self.new.__getitem__)

    def _call(self, call: Call) -> None:
        node = call.node
        keep = {
            name: keep_masks(labels, self.gone) for name in call.arguments if (labels := call.labels(name)) is not None
        }
        out = [keep_masks(labels, self.gone) for labels in self._outputs(node)]
        lost = any(source in self.irregular for source in node.all_input_nodes)
        moves = ATEN[call.name].moves or ATEN[call.name].copies
        if moves and any(mask is None for mask in out):
            self.irregular.add(node)
        elif moves and (lost or any(keep.values()) or any(out)):
            self._move(call, None if lost else keep[call.first], out)  # type: ignore[arg-type]
        elif lost or not (any(keep.values()) or any(out)):
            self._copy(node)
        else:
            rule = rule_for(call.name)
            resized = {} if rule is None else rule.resize(call, keep, out)  # type: ignore[arg-type]
            changed = {name: value for name, value in resized.items() if value != call.get(name)}
            self._emit(call, changed)
            attributes = {name: value for name, value in changed.items() if name in _ATTRIBUTES}
            held = {} if rule is None else rule.held(call, out)  # type: ignore[arg-type]
            if attributes or held:
                self.result.attributes.setdefault(module_path(node), {}).update({**attributes, **held})
            if len(attributes) < len(changed):
                self.result.rewritten.append(node.name)

    def _outputs(self, node: fx.Node) -> list[Labels]:
        labels = self.labels[node]
        return [item for item in labels if item is not None] if isinstance(labels, list) else [labels]

    def _move(self, call: Call, source: Keep | None, out: Sequence[Keep]) -> None:
        """Leave the call as it is, or resize it, or gather: the first that brings every element to its place."""
        if source is not None:
            rule = rule_for(call.name)
            assert rule is not None
            like = self._like(call)
            for changed in ({}, rule.resize(call, {call.first: source}, out)):
                if _moves_right(call, {**like, **changed}, source, out):
                    self._emit(call, changed)
                    if changed:
                        self.result.rewritten.append(call.node.name)
                    return
        self.result.rewritten.append(call.node.name)
        ancestor, places = self._origin(call.node)
        kept = keep_masks(self._outputs(ancestor)[0], self.gone)
        assert kept is not None
        gathered = [
            self._gather(call, ancestor, kept, select(part, mask)) for part, mask in zip(places, out, strict=True)
        ]
        if call.many:
            self.parts[call.node] = gathered
        else:
            self.new[call.node] = gathered[0]

    def _like(self, call: Call) -> dict[str, Tensor]:
        """For ``expand_as`` and the like: a tensor of the size that the other one has now."""
        other = call.labels("other")
        if other is None:
            return {}
        return {"other": torch.zeros(()).expand(shape_left(other, self.gone))}

    def _origin(self, node: fx.Node) -> tuple[fx.Node, list[Tensor]]:
        """The nearest node of regular shape that all elements of ``node`` come from, and where each was there."""
        call = Call(self.program, node, self.labels)
        source: Any = node.args[0]
        index: Any = 0
        if source in self.irregular:
            if source.target is operator.getitem:
                source, index = source.args
            ancestor, parts = self._origin(source)
            elements = parts[index]
        else:
            ancestor = source
            elements = _numbered(self._outputs(source)[0].shape)
        moved = move(call, elements)
        assert moved is not None
        return ancestor, moved

    def _gather(self, call: Call, ancestor: fx.Node, kept: Keep, places: Tensor) -> fx.Node:
        """Read ``places``, numbers of elements of the dense ancestor, from the small ancestor."""
        shape = self._outputs(ancestor)[0].shape
        elements = select(_numbered(shape), kept)
        place_of = torch.full((FIRST + math.prod(shape),), -1)
        place_of[elements.flatten()] = torch.arange(elements.numel())
        source = place_of[places]
        if bool((source < 0).any()):
            raise PlanError(f"{call.node.name}: what is left has no regular shape; exclude {module_path(call.node)}")
        graph, value = self.result.graph, self.new[ancestor]
        found = _along_one(source, tuple(elements.shape))
        if found is not None:
            dim, index = found
            return graph.call_function(torch.ops.aten.index_select.default, (value, dim, self._table(index)))
        rows = source.reshape(source.shape[0], -1)
        stride = elements.numel() // elements.shape[0]
        if elements.shape[0] != source.shape[0] or not torch.equal(
            rows, rows[0] + stride * torch.arange(len(rows))[:, None]
        ):
            raise PlanError(f"{call.node.name}: samples of the batch are mixed; exclude {module_path(call.node)}")
        flat = graph.call_function(torch.ops.aten.flatten.using_ints, (value, 1))
        read = graph.call_function(torch.ops.aten.index_select.default, (flat, 1, self._table(rows[0])))
        return graph.call_function(torch.ops.aten.unflatten.int, (read, 1, list(source.shape[1:])))

    def _table(self, index: Tensor) -> fx.Node:
        name = f"_places_{len(self.result.tables)}"
        self.result.tables[name] = index.contiguous()
        return self.result.graph.get_attr(name)

    def _emit(self, call: Call, changed: Mapping[str, Any]) -> None:
        """Copy the call with changed arguments."""
        changed = dict(changed)
        target = changed.pop(TARGET, None)
        graph = self.result.graph
        if target is not None:
            source: Any = call.node.args[0]
            self.new[call.node] = graph.call_function(target, (self.new[source], *changed.values()))
            return
        names = argument_names(call.node.target)
        given = {**dict(zip(names, call.node.args, strict=False)), **call.node.kwargs}
        resized = {name: self._symbolic(given.get(name), value) for name, value in changed.items()}
        copied = graph.node_copy(call.node, self.new.__getitem__)
        for name, value in resized.items():
            if names.index(name) < len(call.node.args):
                copied.update_arg(names.index(name), value)
            else:
                copied.update_kwarg(name, value)
        self.new[call.node] = copied

    def _symbolic(self, before: Any, after: Any) -> Any:
        """``after`` with the batch where ``before`` had it: a size computed from the batch is scaled."""
        if not isinstance(before, (list, tuple)) or len(before) != len(after):
            return after
        sizes = []
        for old, new in zip(before, after, strict=True):
            if isinstance(old, fx.Node):
                size = self.new[old]
                dense = self.program.concrete(old)
                if dense != new:
                    product = self.result.graph.call_function(operator.mul, (size, new))
                    size = self.result.graph.call_function(operator.floordiv, (product, dense))
                sizes.append(size)
            else:
                sizes.append(old if old == -1 else new)
        return sizes


def _moves_right(call: Call, changed: Mapping[str, Any], source: Keep, out: Sequence[Keep]) -> bool:
    """Whether the call with ``changed`` arguments brings all elements that stay to where they were, and no other."""
    labels = call.tensor(call.first)
    elements = _numbered(labels.shape)
    dense = move(call, elements)
    try:
        small = move(call, select(elements, source), changed)
    except (RuntimeError, IndexError, ValueError):
        return False
    assert dense is not None
    assert small is not None
    return len(dense) == len(small) and all(
        torch.equal(select(part, mask), got) for part, mask, got in zip(dense, out, small, strict=True)
    )


def _along_one(source: Tensor, shape: tuple[int, ...]) -> tuple[int, Tensor] | None:
    """The dimension and indices of ``index_select`` that read ``source``, flat places in a tensor of ``shape``."""
    if source.ndim != len(shape):
        return None
    found = None
    for dim, at in enumerate(torch.unravel_index(source, shape)):
        line = at.movedim(dim, 0).flatten(1)[:, 0]
        if not bool((at.movedim(dim, 0).flatten(1) == line[:, None]).all()):
            return None
        if len(line) != shape[dim] or not torch.equal(line, torch.arange(len(line))):
            if found is not None:
                return None
            found = dim, line
    return found


def _numbered(shape: tuple[int, ...]) -> Tensor:
    """A tensor of ``shape`` that tells all its elements apart, and from constants."""
    return torch.arange(FIRST, FIRST + math.prod(shape)).reshape(shape)


def select(tensor: Tensor, keep: Keep) -> Tensor:
    """``tensor`` without the indices that ``keep`` drops."""
    for dim, mask in keep.items():
        tensor = tensor.index_select(dim, mask.nonzero().flatten())
    return tensor
