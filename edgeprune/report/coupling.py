"""How the layers of a network hang together: drawn as text, and as a picture (SVG).

Layers stand below each other in the order of execution. Each group is a rail beside them: it touches the layers that
make its units and those that read them. Groups that are not alive at the same time share a lane.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from torch import fx, nn

    from edgeprune.graph import Units

NETWORK = "(network)"
"""Name for calls of the network itself, outside any layer."""

_GLYPHS = {"makes": "●", "reads": "○", "both": "◉", "along": "┼", "by": "│"}
_ASCII = {"makes": "#", "reads": "o", "both": "@", "along": "+", "by": "|"}
_MEANING = {"makes": "makes the units", "reads": "reads them", "both": "both", "along": "goes along"}

_COLOURS = (
    "#1f77b4", "#d95f02", "#2a8f3c", "#c2255c", "#7048a8", "#8c564b", "#00838f", "#a67c00", "#3949ab", "#b5179e"
)  # fmt: skip
_FROZEN, _INK, _FAINT, _LINE, _BOX, _BOX_EDGE = "#8d939a", "#202124", "#5f6368", "#dadce0", "#e8eef7", "#b9c7dd"
_SIZE, _TITLE, _EM = 11.0, 15.0, 0.61
"""Sizes of letters, and the width of one of a monospaced font as a share of its size."""
_MARGIN, _GAP, _HEAD, _ROW, _THIN, _LANE, _BAR, _BADGE = 24.0, 14.0, 118.0, 22.0, 15.0, 22.0, 96.0, 16.0
"""Margin, space between columns, height above the layers, heights of a layer with a box and one without, and widths of
a lane, the widest box and the disc with a number."""


@dataclass(frozen=True)
class Layer:
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
class Rail:
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

    layers: tuple[Layer, ...]
    rails: tuple[Rail, ...]


def coupling_of(units: Units, network: nn.Module) -> Coupling:
    """The coupling of dense ``network``, as plain data."""
    import torch

    from edgeprune.cost import cost_model
    from edgeprune.graph.operators import is_operator_call, module_path

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
        rails.append(Rail(group.name, len(group), share, group.frozen, makes, tuple(readers), along))

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
        Layer(
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
    spans, lanes = _spans(coupling), _lanes(coupling)
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
    return "   ".join(f"{glyphs[role]} {meaning}" for role, meaning in _MEANING.items())


def svg(coupling: Coupling, *, title: str, subtitle: str = "") -> str:
    """The coupling as an SVG document of its own, on a light ground; long networks make tall pictures."""
    return _Picture(coupling, title, subtitle).draw()


class _Picture:
    """Columns from left to right: names, MACs, channels, boxes on the spine, lanes of rails, legend."""

    def __init__(self, coupling: Coupling, title: str, subtitle: str) -> None:
        self.coupling, self.title, self.subtitle = coupling, title, subtitle
        self.spans, self.lanes, self.colours = _spans(coupling), _lanes(coupling), _colours(coupling)
        self.total = sum(layer.macs for layer in coupling.layers) or 1
        self.widest = max((layer.channels for layer in coupling.layers), default=0) or 1
        self.rows: list[float] = []
        self.bottom = _HEAD
        for layer in coupling.layers:
            height = _ROW if layer.macs or layer.channels else _THIN
            self.rows.append(self.bottom + height / 2)
            self.bottom += height
        self.names = _MARGIN + _width("layer", *(layer.name for layer in coupling.layers))
        self.macs = self.names + _GAP + _width("100.0 %")
        self.channels = self.macs + _GAP + _width("channels", str(self.widest))
        self.spine = self.channels + _GAP + _BAR / 2
        self.first_lane = self.spine + _BAR / 2 + _GAP + _LANE / 2
        self.legend = self.first_lane + _LANE * (max(self.lanes, default=0) + 1)

    def draw(self) -> str:
        """The whole document."""
        labels = [_rail_text(rail) for rail in self.coupling.rails]
        places = self._legend_places()
        width = max(
            self.legend + 2 * _BADGE + _width("units of a group, by number", *labels),
            _MARGIN + _width(self.title) * _TITLE / _SIZE,
            _MARGIN + _width(self.subtitle),
            _MARGIN + _LANE * len(_MEANING) + _width(" ".join(_MEANING.values())) + 3 * _GAP,
        )
        height = max(self.bottom, *places, 0) + _MARGIN
        parts = [*self._head(), *self._layers()]
        for at, rail in enumerate(self.coupling.rails):
            about = f"{rail.name}: made by {', '.join(rail.makes)}; read by {', '.join(rail.reads) or 'none'}"
            label = _text(self.legend + 2 * _BADGE, places[at], labels[at], fill=_FAINT if rail.frozen else _INK)
            badge = _badge(self.legend + _BADGE / 2, places[at], at + 1, self.colours[at])
            parts.append(f'<g class="group"><title>{escape(about)}</title>{"".join(self._rail(at))}{badge}{label}</g>')
        wide, high = f"{width + _MARGIN:.0f}", f"{height:.0f}"
        root = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{high}" viewBox="0 0 {wide} {high}" '
            'font-family="DejaVu Sans Mono, Menlo, Consolas, Liberation Mono, monospace">'
        )
        ground = '<rect width="100%" height="100%" fill="#ffffff"/>'
        declared = '<?xml version="1.0" encoding="UTF-8"?>'
        return "\n".join((declared, root, f"<title>{escape(self.title)}</title>", ground, *parts, "</svg>\n"))

    def _head(self) -> list[str]:
        """Title, key of the marks, and names of the columns."""
        parts = [
            _text(_MARGIN, _MARGIN, self.title, size=_TITLE, weight="bold"),
            _text(_MARGIN, _MARGIN + 20, self.subtitle, fill=_FAINT),
        ]
        x = _MARGIN + _BADGE / 2
        for role, meaning in _MEANING.items():
            parts += [_mark(x, _MARGIN + 42, role, _INK), _text(x + _BADGE, _MARGIN + 42, meaning, fill=_FAINT)]
            x += _LANE + _width(meaning) + _GAP
        columns = (
            (self.names, "layer", "end"),
            (self.macs, "MACs", "end"),
            (self.channels, "channels", "end"),
            (self.legend, "units of a group, by number", "start"),
        )
        parts += [_text(x, _HEAD - 14, name, fill=_FAINT, anchor=anchor) for x, name, anchor in columns]
        return parts

    def _layers(self) -> list[str]:
        """Names, figures and boxes, and from each box a line to the rails it touches."""
        parts = []
        if self.rows:
            parts.append(_line((self.spine, self.rows[0]), (self.spine, self.rows[-1]), _LINE, 2))
        for row, layer in enumerate(self.coupling.layers):
            y = self.rows[row]
            wide = max(_BAR * layer.channels / self.widest, 4)
            roles = [rail.role(layer.name) for rail in self.coupling.rails]
            touched = [lane for lane, role in zip(self.lanes, roles, strict=True) if role is not None]
            if touched:
                parts.append(_line((self.spine, y), (self._x(max(touched)), y), _LINE, 1))
            box = f'<rect x="{self.spine - wide / 2:.1f}" y="{y - 7:.1f}" width="{wide:.1f}" height="14" rx="2" '
            if layer.channels or layer.macs:
                parts += [
                    f'{box}fill="{_BOX}" stroke="{_BOX_EDGE}"/>',
                    _text(self.macs, y, f"{100 * layer.macs / self.total:.1f} %", fill=_FAINT, anchor="end"),
                ]
            if layer.channels:
                parts.append(_text(self.channels, y, str(layer.channels), fill=_FAINT, anchor="end"))
            named = _INK if layer.channels or layer.macs else _FAINT
            parts.append(_text(self.names, y, layer.name, fill=named, anchor="end"))
        return parts

    def _rail(self, at: int) -> list[str]:
        """A vertical line with a mark at each layer; the first has the number of the group."""
        rail, (first, last), x = self.coupling.rails[at], self.spans[at], self._x(self.lanes[at])
        colour = self.colours[at]
        parts = [_line((x, self.rows[first]), (x, self.rows[last]), colour, 2.5)]
        for row, layer in enumerate(self.coupling.layers):
            role = rail.role(layer.name)
            if role is not None and row != first:
                parts.append(_mark(x, self.rows[row], role, colour))
        return [*parts, _badge(x, self.rows[first], at + 1, colour)]

    def _x(self, lane: int) -> float:
        return self.first_lane + _LANE * lane

    def _legend_places(self) -> list[float]:
        """Heights of the groups' names: where a group begins, or below the name before it."""
        places = [0.0] * len(self.spans)
        free = 0.0
        for at in sorted(range(len(self.spans)), key=lambda at: self.spans[at][0]):
            places[at] = max(self.rows[self.spans[at][0]], free)
            free = places[at] + _BADGE + 2
        return places


def _spans(coupling: Coupling) -> list[tuple[int, int]]:
    """The first and the last layer that each group touches."""
    spans = []
    for rail in coupling.rails:
        touched = [row for row, layer in enumerate(coupling.layers) if rail.role(layer.name) is not None]
        spans.append((touched[0], touched[-1]))
    return spans


def _lanes(coupling: Coupling) -> list[int]:
    """A lane for each group: the first that no other group occupies between its first and its last layer."""
    spans = _spans(coupling)
    lanes = [0] * len(spans)
    ends: list[int] = []
    for at in sorted(range(len(spans)), key=spans.__getitem__):
        first, last = spans[at]
        lane = next((lane for lane, end in enumerate(ends) if end < first), len(ends))
        ends[lane : lane + 1] = [last]
        lanes[at] = lane
    return lanes


def _colours(coupling: Coupling) -> list[str]:
    """Grey for what is frozen; else the next colour that no rail beside has, as long as there are enough."""
    spans = _spans(coupling)
    colours: list[str] = []
    for at, (rail, (first, last)) in enumerate(zip(coupling.rails, spans, strict=True)):
        beside = {colours[other] for other in range(at) if spans[other][0] <= last and first <= spans[other][1]}
        turn = [_COLOURS[(at + step) % len(_COLOURS)] for step in range(len(_COLOURS))]
        free = [colour for colour in turn if colour not in beside]
        colours.append(_FROZEN if rail.frozen else (free or turn)[0])
    return colours


def _layer(tensor: str) -> str:
    """The layer of a parameter or buffer; one that the network itself holds stands for itself."""
    path, parametrised, _ = tensor.partition(".parametrizations.")
    return path if parametrised else tensor.rpartition(".")[0] or tensor


def _rail_text(rail: Rail) -> str:
    units = f"{rail.name}, {rail.units:,} unit{'s' if rail.units > 1 else ''}"
    return f"{units}, frozen: {rail.frozen}" if rail.frozen else f"{units}, {100 * rail.share:.1f} % of MACs"


def _width(*texts: str) -> float:
    """Width of the longest text in the common font size; monospaced fonts differ little."""
    return _SIZE * _EM * max(map(len, texts))


def _text(
    x: float, y: float, content: str, *, fill: str = _INK, size: float = _SIZE, anchor: str = "start", weight: str = ""
) -> str:
    """Text whose middle is at the height ``y``."""
    style = f' font-weight="{weight}"' if weight else ""
    return (
        f'<text x="{x:.1f}" y="{y + 0.35 * size:.1f}" font-size="{size:g}" text-anchor="{anchor}" fill="{fill}"{style}>'
        f"{escape(content)}</text>"
    )


def _line(begin: tuple[float, float], end: tuple[float, float], colour: str, width: float) -> str:
    ends = f'x1="{begin[0]:.1f}" y1="{begin[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width:g}"/>'


def _mark(x: float, y: float, role: str, colour: str) -> str:
    if role == "along":
        return _line((x - 4, y), (x + 4, y), colour, 2)
    fill = colour if role == "makes" else "#ffffff"
    ring = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{fill}" stroke="{colour}" stroke-width="1.8"/>'
    return ring + (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="{colour}"/>' if role == "both" else "")


def _badge(x: float, y: float, number: int, colour: str) -> str:
    """The number of a group in a disc."""
    disc = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{_BADGE / 2}" fill="{colour}"/>'
    size = 9 if number < 100 else 7.5
    return disc + _text(x, y, str(number), fill="#ffffff", size=size, anchor="middle", weight="bold")
