"""How the layers of a network hang together: drawn as text, and as a picture (SVG).

Layers stand below each other in the order of execution. Each group is a rail beside them: it touches the layers that
make its units and those that read them. Groups that are not alive at the same time share a lane.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import fx, nn

    from edgeprune.graph import Units

NETWORK = "(network)"
"""Name for calls of the network itself, outside any layer."""

_GLYPHS = {"makes": "●", "reads": "○", "both": "◉", "along": "┼", "by": "│"}
_ASCII = {"makes": "#", "reads": "o", "both": "@", "along": "+", "by": "|"}
MEANING = {"makes": "makes the units", "reads": "reads them", "both": "both", "along": "goes along"}


@dataclass(frozen=True)
class CouplingLayer:
    """One layer of the dense network.

    Attributes:
        name: Its name in the network.
        macs: Multiply-adds for one sample.
        params: Number of parameters.
        channels: Size of its output along the dimension of its units; 0 for a layer that makes no units.
        kind: Class of its module, such as "Conv2d"; "" for an operation without one.
        shape: Shape of its last output for one sample, without the batch; () where it is not known.
    """

    name: str
    macs: int
    params: int
    channels: int
    kind: str = ""
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class CouplingRail:
    """A group of units, and the names of the layers that make it, read it, or merely shrink with it.

    ``share`` is the part of the network's MACs (0 to 1) that would go with all of the units; groups share MACs, so
    that the sum is more than 1. ``frozen`` is why nothing may be removed, or None.
    """

    name: str
    units: int
    share: float
    frozen: str | None
    makes: tuple[str, ...]
    reads: tuple[str, ...]
    along: tuple[str, ...]

    def role(self, layer: str) -> str | None:
        """``makes``, ``reads``, ``both`` or ``along``; None where the layer has nothing to do with the group."""
        if layer in self.makes:
            return "both" if layer in self.reads else "makes"
        return "reads" if layer in self.reads else "along" if layer in self.along else None


@dataclass(frozen=True)
class Coupling:
    """Layers in the order of execution, and the groups in the order they are made."""

    layers: tuple[CouplingLayer, ...]
    rails: tuple[CouplingRail, ...]


def coupling_of(units: Units, network: nn.Module) -> Coupling:
    """The coupling of dense ``network``, as plain data."""
    import torch

    from edgeprune.cost import cost_model
    from edgeprune.graph.graph_operators import is_operator_call, module_path

    program, known = units.coordinates.program, units.coordinates.coupling
    macs: dict[str, int] = {}
    """By layer, in the order of execution."""
    shapes: dict[str, tuple[int, ...]] = {}
    reads: list[dict[str, None]] = [{} for _ in units.groups]
    for node in program.graph.nodes:
        if not is_operator_call(node):
            continue
        sources = [str(source.target) for source in node.all_input_nodes if source.op == "get_attr"]
        held = [_layer(name) for name in sources if name in program.state]
        if not held and node not in known.products and node not in known.consumed:
            continue
        layer = held[0] if held else module_path(node) or NETWORK
        for name in held or [layer]:
            macs.setdefault(name, 0)
            shapes[name] = _sample_shape(node)
        for product in known.products.get(node, ()):
            macs[layer] += product.count * math.prod(len(ids) for ids in product.factors)
        for consumption in known.consumed.get(node, ()):
            read = units.unit_of[consumption.ids]
            for at in torch.unique(units.group_of[read[read >= 0]]).tolist():
                reads[at][layer] = None

    cost = cost_model("macs", units, network)
    total = cost.total()
    rails = []
    for group, readers in zip(units.groups, reads, strict=True):
        mask = units.prunable.new_zeros(len(units))
        mask[group.start : group.stop] = True
        cost.remove(mask)
        share = 1 - cost.total() / total if total else 0.0
        cost.restore(mask)
        makes = tuple(dict.fromkeys(_layer(member.tensor) for member in group.producers))
        members = dict.fromkeys(_layer(member.tensor) for member in group.members)
        along = tuple(name for name in members if name not in makes and name not in readers)
        rails.append(CouplingRail(group.name, len(group), share, group.frozen, makes, tuple(readers), along))

    params: dict[str, int] = {}
    for name, parameter in network.named_parameters():
        params[_layer(name)] = params.get(_layer(name), 0) + parameter.numel()
    coupled = [name for rail in rails for name in (*rail.makes, *rail.reads, *rail.along)]
    shown = {*params, *coupled}
    names = [name for name in dict.fromkeys([*macs, *params, *coupled]) if macs.get(name) or name in shown]
    sizes: dict[str, dict[tuple[str, int], float]] = {}
    for group in units.groups:
        for member in group.producers:
            made = sizes.setdefault(_layer(member.tensor), {})
            key = member.tensor, member.dim
            made[key] = made.get(key, 0) + len(group) * member.per_unit
    channels = {name: round(max(made.values())) for name, made in sizes.items()}
    kinds = {name: type(module).__name__ for name, module in network.named_modules() if name}
    layers = tuple(
        CouplingLayer(
            name,
            macs.get(name, 0),
            params.get(name, 0),
            channels.get(name, 0),
            kinds.get(name, ""),
            shapes.get(name, ()),
        )
        for name in names
    )
    return Coupling(layers, tuple(rails))


def _sample_shape(node: fx.Node) -> tuple[int, ...]:
    """Shape of what a call gives for one sample; () for a call that gives several tensors."""
    shape = getattr(node.meta.get("val"), "shape", ())
    return tuple(int(size) for size in shape[1:])


def text(coupling: Coupling, *, ascii_only: bool = False) -> list[str]:
    """One line for each layer: the marks of the groups it touches, and the names of those that begin there."""
    glyphs = _ASCII if ascii_only else _GLYPHS
    spans, lanes = spans_of(coupling), lanes_of(coupling)
    lines = []
    for row, layer in enumerate(coupling.layers):
        marks = [" "] * (max(lanes, default=-1) + 1)
        begins = []
        for rail, (first, last), lane in zip(coupling.rails, spans, lanes, strict=True):
            role = rail.role(layer.name)
            if role is not None:
                marks[lane] = glyphs[role]
            elif first < row < last:
                marks[lane] = glyphs["by"]
            if row == first:
                begins.append(rail.name)
        lines.append("".join(marks) + ("  " + ", ".join(begins) if begins else ""))
    return lines


def text_key(*, ascii_only: bool = False) -> str:
    """Legend of the marks of ``text``."""
    glyphs = _ASCII if ascii_only else _GLYPHS
    return "   ".join(f"{glyphs[role]} {meaning}" for role, meaning in MEANING.items())


def spans_of(coupling: Coupling) -> list[tuple[int, int]]:
    """The first and the last layer that each group touches."""
    spans = []
    for rail in coupling.rails:
        touched = [row for row, layer in enumerate(coupling.layers) if rail.role(layer.name) is not None]
        spans.append((touched[0], touched[-1]))
    return spans


def lanes_of(coupling: Coupling) -> list[int]:
    """A lane for each group: the first that no other group occupies between its first and its last layer."""
    spans = spans_of(coupling)
    lanes = [0] * len(spans)
    ends: list[int] = []
    for at in sorted(range(len(spans)), key=spans.__getitem__):
        first, last = spans[at]
        lane = next((lane for lane, end in enumerate(ends) if end < first), len(ends))
        ends[lane : lane + 1] = [last]
        lanes[at] = lane
    return lanes


def _layer(tensor: str) -> str:
    """The layer of a parameter or buffer; one that the network itself holds stands for itself."""
    path, parametrised, _ = tensor.partition(".parametrizations.")
    return path if parametrised else tensor.rpartition(".")[0] or tensor
