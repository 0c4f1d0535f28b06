"""Coupling between the layers of a network as data, and as a text diagram.

Each layer is a row, in the order of execution. Each group is a vertical rail next to them, with marks at the layers
that compute its units and at those that read them. Groups that do not overlap share a lane.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import fx, nn

    from edgeprune.graph import Units

NETWORK = "(network)"
"""Name of operations in the network itself, outside any layer."""

_GLYPHS = {"makes": "●", "reads": "○", "both": "◉", "other": "┼", "by": "│"}
_ASCII = {"makes": "#", "reads": "o", "both": "@", "other": "+", "by": "|"}
MEANING = {"makes": "computes the units", "reads": "reads them", "both": "both", "other": "shrinks with them"}


@dataclass(frozen=True)
class CouplingLayer:
    """One layer of the dense network.

    Attributes:
        name: Name in the network.
        macs: Multiply-adds for one sample.
        params: Number of parameters.
        channels: Size of its output along the dimension of its units; 0 for a layer that computes no units.
        kind: Class of its module, such as "Conv2d"; "" for an operation without a module.
        shape: Shape of its last output for one sample, without the batch; () if it is not known.
    """

    name: str
    macs: int
    params: int
    channels: int
    kind: str = ""
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class CouplingRail:
    """A group of units and its layers.

    Attributes:
        name: Name of the group.
        units: Number of units.
        macs_fraction: Fraction of the network's MACs, 0 to 1, that depends on the group. A MAC can depend on two
            groups, so the sum over all groups may exceed 1.
        frozen: Reason why the group cannot be pruned; None if it can.
        makes: Names of the layers that compute the units.
        reads: Names of the layers that read the units.
        others: Names of the other layers that shrink with the group.
    """

    name: str
    units: int
    macs_fraction: float
    frozen: str | None
    makes: tuple[str, ...]
    reads: tuple[str, ...]
    others: tuple[str, ...]

    def role(self, layer: str) -> str | None:
        """Return the role of a layer: ``makes``, ``reads``, ``both`` or ``other``; None if it is not in the group."""
        if layer in self.makes:
            return "both" if layer in self.reads else "makes"
        return "reads" if layer in self.reads else "other" if layer in self.others else None


@dataclass(frozen=True)
class Coupling:
    """Layers and groups of a network, both in the order of execution."""

    layers: tuple[CouplingLayer, ...]
    rails: tuple[CouplingRail, ...]


def coupling_of(units: Units, network: nn.Module) -> Coupling:
    """Return the coupling of the dense ``network``."""
    import torch

    from edgeprune.cost import cost_model
    from edgeprune.graph.graph_operators import is_operator_call, module_path

    program, unit_coupling = units.coordinates.program, units.coordinates.coupling
    macs: dict[str, int] = {}
    """MACs by layer, in the order of execution."""
    shapes: dict[str, tuple[int, ...]] = {}
    reads: list[dict[str, None]] = [{} for _ in units.groups]
    for node in program.graph.nodes:
        if not is_operator_call(node):
            continue
        sources = [str(source.target) for source in node.all_input_nodes if source.op == "get_attr"]
        state_layers = [_layer(name) for name in sources if name in program.state]
        if not state_layers and node not in unit_coupling.products and node not in unit_coupling.consumed:
            continue
        layer = state_layers[0] if state_layers else module_path(node) or NETWORK
        for name in state_layers or [layer]:
            macs.setdefault(name, 0)
            shapes[name] = _sample_shape(node)
        for product in unit_coupling.products.get(node, ()):
            macs[layer] += product.count * math.prod(len(ids) for ids in product.factors)
        for consumption in unit_coupling.consumed.get(node, ()):
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
        macs_fraction = 1 - cost.total() / total if total else 0.0
        cost.restore(mask)
        makes = tuple(dict.fromkeys(_layer(member.tensor) for member in group.producers))
        members = dict.fromkeys(_layer(member.tensor) for member in group.members)
        others = tuple(name for name in members if name not in makes and name not in readers)
        rails.append(CouplingRail(group.name, len(group), macs_fraction, group.frozen, makes, tuple(readers), others))

    params: dict[str, int] = {}
    for name, parameter in network.named_parameters():
        params[_layer(name)] = params.get(_layer(name), 0) + parameter.numel()
    coupled = [name for rail in rails for name in (*rail.makes, *rail.reads, *rail.others)]
    names_with_state = {*params, *coupled}
    names = [name for name in dict.fromkeys([*macs, *params, *coupled]) if macs.get(name) or name in names_with_state]
    sizes: dict[str, dict[tuple[str, int], float]] = {}
    for group in units.groups:
        for member in group.producers:
            tensor_sizes = sizes.setdefault(_layer(member.tensor), {})
            key = member.tensor, member.dim
            tensor_sizes[key] = tensor_sizes.get(key, 0) + len(group) * member.per_unit
    channels = {name: round(max(tensor_sizes.values())) for name, tensor_sizes in sizes.items()}
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
    """Return the shape of an operation's output for one sample; () if it has several outputs."""
    shape = getattr(node.meta.get("val"), "shape", ())
    return tuple(int(size) for size in shape[1:])


def text(coupling: Coupling, *, ascii_only: bool = False) -> list[str]:
    """Return a line for each layer: the marks of its groups, and the names of the groups that begin there."""
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
    """Return the legend of the marks in ``text``."""
    glyphs = _ASCII if ascii_only else _GLYPHS
    return "   ".join(f"{glyphs[role]} {meaning}" for role, meaning in MEANING.items())


def spans_of(coupling: Coupling) -> list[tuple[int, int]]:
    """Return the indices of the first and the last layer of each group."""
    spans = []
    for rail in coupling.rails:
        touched = [row for row, layer in enumerate(coupling.layers) if rail.role(layer.name) is not None]
        spans.append((touched[0], touched[-1]))
    return spans


def lanes_of(coupling: Coupling) -> list[int]:
    """Return a lane for each group: the first lane that is free between its first and its last layer."""
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
    """Return the layer of a parameter or buffer, or its own name if it belongs to the network itself."""
    path, parametrised, _ = tensor.partition(".parametrizations.")
    return path if parametrised else tensor.rpartition(".")[0] or tensor
