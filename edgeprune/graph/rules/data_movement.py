"""Data movement: one rule for all operators, which runs the operator on ids and reads their new positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from edgeprune.graph.coupling import Coupling
from edgeprune.graph.graph_operators import call_operator
from edgeprune.graph.index_labels import CONSTANT, Labels, Track, gather, spread
from edgeprune.graph.operator_call import Call
from edgeprune.graph.rules.base import TARGET, Keep, Rule, register, remaining_size
from edgeprune.operator_facts.aten_operators import ATEN

_TRIANGLES = ("aten.tril", "aten.triu")
_STRIDED = ("aten.as_strided", "aten._reshape_alias")
_SPLITS = ("chunk", "split", "split_with_sizes", "tensor_split")


@register
class Movement(Rule):
    """Operators that copy elements of one tensor to other positions, and may fill in constants."""

    ops = ATEN.names(lambda facts: facts.moves)

    def couple(self, call: Call, coupling: Coupling) -> Labels | list[Labels]:
        source = call.tensor(call.first)
        moved: list[list[Track]] = [[] for _ in call.out_shapes]
        for track in source.tracks:
            if call.name in _TRIANGLES and track.dims[-1] >= len(source.shape) - 2:
                coupling.freeze(track.ids.flatten(), f"kept or zeroed by its place in {call.name}")
                continue
            parts = move(call, spread(track, source.shape))
            if parts is None:
                coupling.freeze(track.ids, f"{call.name} with indices that depend on the data")
                continue
            for tracks, elements in zip(moved, parts, strict=True):
                output_track = gather(elements)
                if output_track is not None and output_track.dims:
                    tracks.append(_name_constants(call, coupling, output_track))
                elif output_track is not None:
                    coupling.freeze(output_track.ids.reshape(1), f"read by a fixed index in {call.name}")
        if call.name == "aten.expand_as":
            moved[0] += _repeated_for(source, call.tensor("other"))
        outputs = [Labels(shape, tuple(tracks)) for shape, tracks in zip(call.out_shapes, moved, strict=True)]
        return outputs if call.many else outputs[0]

    def resize(self, call: Call, keep: Mapping[str, Keep], out: Sequence[Keep]) -> Mapping[str, Any]:
        source = keep.get(call.first, {})
        name = call.name.removeprefix("aten.").removeprefix("unsafe_")
        if name in _SPLITS:
            dim = call["dim"] % len(call.shape(call.first))
            sizes = [remaining_size(part, dim, shape[dim]) for part, shape in zip(out, call.out_shapes, strict=True)]
            if "split_size" in call.arguments and set(sizes[:-1]) == {sizes[0]} and 0 < sizes[-1] <= sizes[0]:
                return {"split_size": sizes[0]}  # which may be an attribute of the module
            return {TARGET: torch.ops.aten.split_with_sizes.default, "split_sizes": sizes, "dim": dim}
        if name in ("slice", "narrow", "select"):
            return _resize_window(call, source)
        if name in ("constant_pad_nd", "pad"):
            return {"pad": _resize_padding(call["pad"], out[0], call.out_shape)}
        sizes = [remaining_size(out[0], dim, size) for dim, size in enumerate(call.out_shape)]
        if name == "unflatten":
            dim = call["dim"] % len(call.shape(call.first))
            return {"sizes": sizes[dim : dim + len(call["sizes"])]}
        return {argument: sizes for argument in ("size", "shape") if argument in call.arguments}


def move(call: Call, elements: Tensor, changed: Mapping[str, Any] | None = None) -> list[Tensor] | None:
    """Run the operator of the call on ``elements``, ids of its first argument. None if the result depends on data.

    ``changed`` replaces arguments. Constants that the operator fills in have the id ``CONSTANT``.
    """
    if ATEN[call.name].copies:
        return [elements]
    if call.name in ("aten.view", "aten._unsafe_view") and "size" in call.arguments:
        # Ids have strides of their own, for which a view need not exist.
        return [elements.reshape({**call.arguments, **(changed or {})}["size"])]
    arguments: dict[str, Any] = {**call.arguments, **(changed or {})}
    target = arguments.pop(TARGET, call.node.target)
    for name, value in arguments.items():
        if isinstance(value, (list, tuple)):
            arguments[name] = [_constant(call, item) for item in value]
            if any(isinstance(item, fx.Node) for item in arguments[name]):
                return None
        else:
            arguments[name] = _constant(call, value)
            if isinstance(arguments[name], fx.Node) and name != call.first:
                return None
    if "value" in arguments:
        arguments["value"] = CONSTANT
    if call.name in _STRIDED:
        # They read memory: ids must lie there as the data does.
        if not call.node.args[0].meta["val"].is_contiguous():  # type: ignore[union-attr]
            return None
        elements = elements.contiguous()
    arguments[call.first] = elements
    try:
        parts = call_operator(target, arguments)
    except NotImplementedError:
        # Some kernels exist for floating point only; ids stay exact up to 2**53.
        parts = call_operator(target, {**arguments, call.first: elements.double()})
    return [part.long() for part in (parts if isinstance(parts, (list, tuple)) else [parts])]


def _constant(call: Call, value: Any) -> Any:
    """Return the value of an argument: a constant tensor, or a tensor of the right shape for ``expand_as``."""
    if not isinstance(value, fx.Node):
        return value
    if call.name in ("aten.expand_as", "aten.view_as", "aten.reshape_as"):
        labels = call.labels_of(value)
        return value if labels is None else torch.zeros(()).expand(labels.shape)
    constant = call.program.constant(value)
    return value if constant is None else constant


def _name_constants(call: Call, coupling: Coupling, track: Track) -> Track:
    """Assign new ids to indices that the operator filled in, which are removed with the indices they are added to."""
    empty = track.ids == CONSTANT
    if len(track.dims) > 1 or not bool(empty.any()):
        return track
    fresh = coupling.new(call.node.name, track.dims[0], int(empty.sum()), parameter=False)
    return Track(track.dims, track.ids.masked_scatter(empty, fresh))


def _repeated_for(source: Labels, other: Labels) -> list[Track]:
    """Return the tracks of ``other`` along dimensions that ``source`` lacks: it is repeated once for each index there.

    A norm that divides features is repeated for every feature, and follows them.
    """
    added = len(other.shape) - len(source.shape)
    return [track for track in other.tracks if all(dim < added or source.shape[dim - added] == 1 for dim in track.dims)]


def _resize_window(call: Call, source: Keep) -> Mapping[str, Any]:
    """Return the bounds of ``slice``, ``narrow`` and ``select`` in the remaining indices."""
    size = call.shape(call.first)[call["dim"]]
    mask = source.get(call["dim"] % len(call.shape(call.first)))
    if mask is None:
        return {}

    def position(bound: int) -> int:
        bound = bound + size if bound < 0 else bound
        return int(mask[: max(0, min(bound, size))].sum())

    if "index" in call.arguments:
        return {"index": position(call["index"])}
    start = position(call["start"] or 0)
    if "length" in call.arguments:
        return {"start": start, "length": position(call["start"] + call["length"]) - start}
    end = size if call["end"] is None else call["end"]
    return {"start": start, "end": position(end)}


def _resize_padding(padding: Sequence[int], out: Keep, shape: tuple[int, ...]) -> list[int]:
    """Return the remaining padding. ``padding`` contains two numbers for each dimension, the last dimension first."""
    sizes = list(padding)
    for pair in range(len(sizes) // 2):
        mask = out.get(len(shape) - 1 - pair)
        if mask is not None:
            before, after = sizes[2 * pair], sizes[2 * pair + 1]
            sizes[2 * pair] = int(mask[:before].sum()) if before > 0 else before
            sizes[2 * pair + 1] = int(mask[len(mask) - after :].sum()) if after > 0 else after
    return sizes
