"""Graph of a program with the sizes that remain after the removal of units."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from edgeprune.errors import PlanError
from edgeprune.graph.element_numbers import along_one, moves_right, numbered, select
from edgeprune.graph.graph_operators import argument_names, is_operator_call, module_path, mutates
from edgeprune.graph.index_labels import FIRST, Labels
from edgeprune.graph.operator_call import Call
from edgeprune.graph.rules import Keep, rule_for
from edgeprune.graph.rules.base import TARGET
from edgeprune.graph.rules.data_movement import move
from edgeprune.graph.size_inference import Size, size_pairs
from edgeprune.graph.units import Units, keep_masks, remaining_shape
from edgeprune.operator_facts.aten_operators import ATEN

_ATTRIBUTES = ("groups", "num_groups", "normalized_shape")


@dataclass
class ResizedGraph:
    """Graph whose size arguments match the smaller tensors.

    Attributes:
        graph: Graph of the pruned network.
        attributes: Call arguments that are attributes of modules (``groups``), by path of the module.
        rewritten: Names of the calls whose sizes or indices changed. The forward of the network may contain them.
        tables: Tensors of indices that the graph reads, by attribute name.
        sizes: New values of each dense size in the arguments of calls and in constants, by path of the module.
    """

    graph: fx.Graph
    attributes: dict[str, dict[str, Any]] = field(default_factory=dict)
    rewritten: list[str] = field(default_factory=list)
    tables: dict[str, Tensor] = field(default_factory=dict)
    sizes: dict[str, dict[Size, list[Size]]] = field(default_factory=dict)


def resize(units: Units, removed: Tensor) -> ResizedGraph:
    """Compute each size argument of the program after removal of the units in the mask ``removed``.

    Data movement is checked on ids: a call that no longer moves each id to its position is replaced by a gather.

    Raises:
        PlanError: A part of the program cannot be expressed at the smaller size.
    """
    return _Resizer(units, removed).run()


class _Resizer:
    def __init__(self, units: Units, removed: Tensor) -> None:
        self.program = units.coordinates.program
        self.labels = units.coordinates.labels
        self.removed_ids = units.removed_ids(removed)
        self.result = ResizedGraph(fx.Graph())
        self.new: dict[fx.Node, fx.Node] = {}
        self.parts: dict[fx.Node, list[fx.Node]] = {}
        """Outputs of each call that was replaced by gathers, one for each output."""
        self.irregular: set[fx.Node] = set()
        """Nodes without a value in the new graph, because their remaining elements are not a box."""

    def run(self) -> ResizedGraph:
        for node in self.program.graph.nodes:
            if node.target is operator.getitem and node.args[0] in self.parts:
                self.new[node] = self.parts[node.args[0]][node.args[1]]
            elif is_operator_call(node) and node in self.labels:
                self._call(Call(self.program, node, self.labels))
            else:
                self._copy(node)
                if node.op == "get_attr" and node.target not in self.program.state and node in self.labels:
                    labels = self._outputs(node)[0]  # a constant of the forward: a mask, zeros
                    self._record_sizes(node, labels.shape, remaining_shape(labels, self.removed_ids))
        graph = self.result.graph
        graph.set_codegen(self.program.graph._codegen)  # noqa: SLF001
        for node in reversed(graph.nodes):
            if not node.users and node.op in ("call_function", "get_attr") and not mutates(node):
                graph.erase_node(node)
        graph.lint()
        return self.result

    def _copy(self, node: fx.Node) -> None:
        irregular_sources = [source for source in node.all_input_nodes if source in self.irregular]
        if irregular_sources and node.target is operator.getitem:
            self.irregular.add(node)
        elif irregular_sources:
            raise PlanError(
                f"{node.name} in {module_path(node) or 'the network'}: the remaining part of "
                f"{irregular_sources[0].name} has no regular shape: exclude the layers around it"
            )
        else:
            self.new[node] = self.result.graph.node_copy(node, self.new.__getitem__)

    def _call(self, call: Call) -> None:
        node = call.node
        keep = {
            name: keep_masks(labels, self.removed_ids)
            for name in call.arguments
            if (labels := call.labels(name)) is not None
        }
        out = [keep_masks(labels, self.removed_ids) for labels in self._outputs(node)]
        has_irregular_source = any(source in self.irregular for source in node.all_input_nodes)
        moves = ATEN[call.name].moves or ATEN[call.name].copies
        if moves and any(mask is None for mask in out):
            self.irregular.add(node)
        elif moves and (has_irregular_source or any(keep.values()) or any(out)):
            self._move(call, None if has_irregular_source else keep[call.first], out)  # type: ignore[arg-type]
        elif has_irregular_source or not (any(keep.values()) or any(out)):
            self._copy(node)
        else:
            rule = rule_for(call.name)
            resized = {} if rule is None else rule.resize(call, keep, out)  # type: ignore[arg-type]
            changed = {name: value for name, value in resized.items() if value != call.get(name)}
            self._emit(call, changed)
            attributes = {name: value for name, value in changed.items() if name in _ATTRIBUTES}
            module_attributes = {} if rule is None else rule.module_attributes(call, out)  # type: ignore[arg-type]
            if attributes or module_attributes:
                self.result.attributes.setdefault(module_path(node), {}).update({**attributes, **module_attributes})
            if len(attributes) < len(changed):
                self.result.rewritten.append(node.name)

    def _outputs(self, node: fx.Node) -> list[Labels]:
        labels = self.labels[node]
        return [item for item in labels if item is not None] if isinstance(labels, list) else [labels]

    def _move(self, call: Call, source: Keep | None, out: Sequence[Keep]) -> None:
        """Keep, resize or replace the call by a gather: the first that moves each element to its position."""
        if source is not None:
            rule = rule_for(call.name)
            assert rule is not None
            like = self._like(call)
            for changed in ({}, rule.resize(call, {call.first: source}, out)):
                if moves_right(call, {**like, **changed}, source, out):
                    self._emit(call, changed)
                    if changed:
                        self.result.rewritten.append(call.node.name)
                    return
        self.result.rewritten.append(call.node.name)
        ancestor, places = self._origin(call.node)
        keep = keep_masks(self._outputs(ancestor)[0], self.removed_ids)
        assert keep is not None
        gathered = [
            self._gather(call, ancestor, keep, select(part, mask)) for part, mask in zip(places, out, strict=True)
        ]
        if call.many:
            self.parts[call.node] = gathered
        else:
            self.new[call.node] = gathered[0]

    def _like(self, call: Call) -> dict[str, Tensor]:
        """Return the argument ``other`` of ``expand_as`` and similar operators, in its remaining size."""
        other = call.labels("other")
        if other is None:
            return {}
        return {"other": torch.zeros(()).expand(remaining_shape(other, self.removed_ids))}

    def _origin(self, node: fx.Node) -> tuple[fx.Node, list[Tensor]]:
        """Return the nearest source of ``node`` with a regular shape, and the position of each element in it."""
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
            elements = numbered(self._outputs(source)[0].shape)
        moved = move(call, elements)
        assert moved is not None
        return ancestor, moved

    def _gather(self, call: Call, ancestor: fx.Node, keep: Keep, places: Tensor) -> fx.Node:
        """Read ``places``, numbers of elements of the dense ancestor, from the small ancestor."""
        shape = self._outputs(ancestor)[0].shape
        elements = select(numbered(shape), keep)
        place_of = torch.full((FIRST + math.prod(shape),), -1)
        place_of[elements.flatten()] = torch.arange(elements.numel())
        source = place_of[places]
        if bool((source < 0).any()):
            raise PlanError(
                f"{call.node.name}: the remaining part has no regular shape: exclude {module_path(call.node)}"
            )
        graph, value = self.result.graph, self.new[ancestor]
        selection = along_one(source, tuple(elements.shape))
        if selection is not None:
            dim, index = selection
            return graph.call_function(torch.ops.aten.index_select.default, (value, dim, self._table(index)))
        rows = source.reshape(source.shape[0], -1)
        stride = elements.numel() // source.shape[0]
        merged = elements.shape[0] != source.shape[0]
        if (merged and not _merges_batch(call.node, ancestor)) or not torch.equal(
            rows, rows[0] + stride * torch.arange(len(rows))[:, None]
        ):
            raise PlanError(
                f"{call.node.name}: the operation mixes samples of the batch: exclude {module_path(call.node)}"
            )
        if merged:
            flat = graph.call_function(torch.ops.aten.reshape.default, (value, [-1, stride]))
        else:
            flat = graph.call_function(torch.ops.aten.flatten.using_ints, (value, 1))
        read = graph.call_function(torch.ops.aten.index_select.default, (flat, 1, self._table(rows[0])))
        return graph.call_function(torch.ops.aten.unflatten.int, (read, 1, list(source.shape[1:])))

    def _table(self, index: Tensor) -> fx.Node:
        name = f"_places_{len(self.result.tables)}"
        self.result.tables[name] = index.contiguous()
        return self.result.graph.get_attr(name)

    def _emit(self, call: Call, changed: Mapping[str, Any]) -> None:
        """Copy the call to the new graph with changed arguments."""
        changed = dict(changed)
        target = changed.pop(TARGET, None)
        for name, value in changed.items():
            self._record_sizes(call.node, call.get(name), value)
        graph = self.result.graph
        if target is not None:
            source: Any = call.node.args[0]
            self.new[call.node] = graph.call_function(target, (self.new[source], *changed.values()))
            return
        names = argument_names(call.node.target)
        arguments = {**dict(zip(names, call.node.args, strict=False)), **call.node.kwargs}
        resized = {name: self._symbolic(arguments.get(name), value) for name, value in changed.items()}
        copied = graph.node_copy(call.node, self.new.__getitem__)
        for name, value in resized.items():
            if names.index(name) < len(call.node.args):
                copied.update_arg(names.index(name), value)
            else:
                copied.update_kwarg(name, value)
        self.new[call.node] = copied

    def _record_sizes(self, node: fx.Node, before: Any, after: Any) -> None:
        sizes = self.result.sizes.setdefault(module_path(node), {})
        for dense, remaining in size_pairs(before, after):
            if remaining not in sizes.setdefault(dense, []):
                sizes[dense].append(remaining)

    def _symbolic(self, before: Any, after: Any) -> Any:
        """Return the sizes ``after``, with the symbolic batch size of ``before``, scaled where the size changed."""
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


def _merges_batch(node: fx.Node, ancestor: fx.Node) -> bool:
    """Return whether dimension 0 of ``ancestor`` has several rows for each sample in dimension 0 of ``node``."""
    sizes: list[Any] = [getattr(one.meta["val"], "shape", (0,))[0] for one in (node, ancestor)]
    is_dynamic = all(isinstance(size, torch.SymInt) for size in sizes)
    return is_dynamic and bool((sizes[1].node.expr / sizes[0].node.expr).is_integer)
