"""Diagram of the coupling of a network as SVG."""

from __future__ import annotations

from xml.sax.saxutils import escape

from edgeprune.report.coupling_text import MEANING, Coupling, CouplingRail, lanes_of, spans_of

_COLOURS = (
    "#1f77b4", "#d95f02", "#2a8f3c", "#c2255c", "#7048a8", "#8c564b", "#00838f", "#a67c00", "#3949ab", "#b5179e"
)  # fmt: skip


_FROZEN, _INK, _FAINT, _LINE, _BOX, _BOX_EDGE = "#8d939a", "#202124", "#5f6368", "#dadce0", "#e8eef7", "#b9c7dd"


_SIZE, _TITLE, _EM = 11.0, 15.0, 0.61
"""Font sizes of text and title, and the width of a monospaced character as a fraction of the font size."""


_MARGIN, _GAP, _HEAD, _ROW, _THIN, _LANE, _BAR, _BADGE = 24.0, 14.0, 118.0, 22.0, 15.0, 22.0, 96.0, 16.0
"""Margin, gap between columns, height above the layers, heights of a layer with and without a box, and widths of a
lane, the widest box and a badge."""


def svg(coupling: Coupling, *, title: str, subtitle: str = "") -> str:
    """Return the coupling as a complete SVG document on a white background."""
    return _Picture(coupling, title, subtitle).draw()


class _Picture:
    """Layout of the diagram, with columns for names, MACs, channels, boxes, lanes of rails, and the legend."""

    def __init__(self, coupling: Coupling, title: str, subtitle: str) -> None:
        self.coupling, self.title, self.subtitle = coupling, title, subtitle
        self.spans, self.lanes, self.colours = spans_of(coupling), lanes_of(coupling), _colours(coupling)
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
        """Return the complete document."""
        labels = [_rail_text(rail) for rail in self.coupling.rails]
        places = self._legend_places()
        width = max(
            self.legend + 2 * _BADGE + _width("units of a group, by number", *labels),
            _MARGIN + _width(self.title) * _TITLE / _SIZE,
            _MARGIN + _width(self.subtitle),
            _MARGIN + _LANE * len(MEANING) + _width(" ".join(MEANING.values())) + 3 * _GAP,
        )
        height = max(self.bottom, *places, 0) + _MARGIN
        parts = [*self._head(), *self._layers()]
        for at, rail in enumerate(self.coupling.rails):
            about = f"{rail.name}: computed by {', '.join(rail.makes)}; read by {', '.join(rail.reads) or 'none'}"
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
        """Return the title, the key of the marks, and the column names."""
        parts = [
            _text(_MARGIN, _MARGIN, self.title, size=_TITLE, weight="bold"),
            _text(_MARGIN, _MARGIN + 20, self.subtitle, fill=_FAINT),
        ]
        x = _MARGIN + _BADGE / 2
        for role, meaning in MEANING.items():
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
        """Return names, values and boxes of the layers, and lines from each box to its rails."""
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
        """Return the vertical line of a group, with a mark at each layer and the number of the group at the first."""
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
        """Return the vertical positions of the groups' names, at the first layer of each group but without overlap."""
        places = [0.0] * len(self.spans)
        free = 0.0
        for at in sorted(range(len(self.spans)), key=lambda at: self.spans[at][0]):
            places[at] = max(self.rows[self.spans[at][0]], free)
            free = places[at] + _BADGE + 2
        return places


def _colours(coupling: Coupling) -> list[str]:
    """Return a color for each rail: gray if frozen, else one that no overlapping rail has, if enough are available."""
    spans = spans_of(coupling)
    colours: list[str] = []
    for at, (rail, (first, last)) in enumerate(zip(coupling.rails, spans, strict=True)):
        overlapping = {colours[other] for other in range(at) if spans[other][0] <= last and first <= spans[other][1]}
        turn = [_COLOURS[(at + step) % len(_COLOURS)] for step in range(len(_COLOURS))]
        free = [colour for colour in turn if colour not in overlapping]
        colours.append(_FROZEN if rail.frozen else (free or turn)[0])
    return colours


def _rail_text(rail: CouplingRail) -> str:
    units = f"{rail.name}, {rail.units:,} unit{'s' if rail.units > 1 else ''}"
    return f"{units}, frozen: {rail.frozen}" if rail.frozen else f"{units}, {100 * rail.macs_fraction:.1f} % of MACs"


def _width(*texts: str) -> float:
    """Return the approximate width of the longest text in a monospaced font of the common size."""
    return _SIZE * _EM * max(map(len, texts))


def _text(
    x: float, y: float, content: str, *, fill: str = _INK, size: float = _SIZE, anchor: str = "start", weight: str = ""
) -> str:
    """Return text that is vertically centered at ``y``."""
    style = f' font-weight="{weight}"' if weight else ""
    return (
        f'<text x="{x:.1f}" y="{y + 0.35 * size:.1f}" font-size="{size:g}" text-anchor="{anchor}" fill="{fill}"{style}>'
        f"{escape(content)}</text>"
    )


def _line(begin: tuple[float, float], end: tuple[float, float], colour: str, width: float) -> str:
    ends = f'x1="{begin[0]:.1f}" y1="{begin[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width:g}"/>'


def _mark(x: float, y: float, role: str, colour: str) -> str:
    if role == "other":
        return _line((x - 4, y), (x + 4, y), colour, 2)
    fill = colour if role == "makes" else "#ffffff"
    ring = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{fill}" stroke="{colour}" stroke-width="1.8"/>'
    return ring + (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="{colour}"/>' if role == "both" else "")


def _badge(x: float, y: float, number: int, colour: str) -> str:
    """Return the number of a group in a disc."""
    disc = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{_BADGE / 2}" fill="{colour}"/>'
    size = 9 if number < 100 else 7.5
    return disc + _text(x, y, str(number), fill="#ffffff", size=size, anchor="middle", weight="bold")
