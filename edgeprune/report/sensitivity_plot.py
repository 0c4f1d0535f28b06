"""Plot (PNG) of the sensitivity of groups: accuracy against removed MACs, and the scores of each group."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from edgeprune import extras

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.lines import Line2D

    from edgeprune.selection.sensitivity_scan import GroupSensitivity, SensitivityScan

_NAMED = 4
"""Number of labeled groups among the most sensitive, and among the least sensitive."""
_MOST, _LEAST, _OTHER, _INK, _FAINT = "#d55e00", "#0072b2", "#9aa0a6", "#202124", "#dadce0"
"""Colors that color-blind readers can distinguish (Okabe and Ito 2008); markers distinguish groups of one color."""
_MARKERS = "os^D"
_FEW_DECADES = 1e3
_TICKS = 48
"""Maximum number of group names along the axis."""


@dataclass(frozen=True)
class _Look:
    colour: str
    marker: str = "."
    size: float = 3
    width: float = 0.8
    strength: float = 0.55
    order: int = 2


def png(measured: SensitivityScan, scores: Mapping[str, Sequence[float]], *, title: str, criterion: str) -> bytes:
    """Return the plot as the content of a PNG file, which is reproducible.

    Args:
        measured: Sensitivity of at least one group.
        scores: Scores of the units, at least 0, by the name of the group.
        title: Name of the network.
        criterion: Name of the importance score.
    """
    with extras.required("plots"):
        from matplotlib.figure import Figure

    looks = _looks(measured)
    figure = Figure(figsize=(12, 9), dpi=120, layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=(3, 2))
    ratios = ", ".join(map(fraction_text, dict.fromkeys(point.ratio for point in measured.groups[0].points)))
    figure.suptitle(f"Sensitivity of {title}", fontsize=14, color=_INK)
    above.set_title(
        f"One group at a time without {ratios} of its units, lowest {criterion} first; {measured.samples:,} samples",
        fontsize=10,
        color=_INK,
    )
    _draw_curves(above, measured, looks)
    _draw_scores(below, measured, scores, looks, criterion)
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(visible=True, color=_FAINT, linewidth=0.5)
        axes.set_axisbelow(True)
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()


def fraction_text(ratio: float) -> str:
    """Format a ratio as a fraction, such as ``1/8``."""
    return str(Fraction(ratio).limit_denominator(100))


def largest_change(measured: SensitivityScan, group: GroupSensitivity) -> tuple[float, float]:
    """Return the mean drop of accuracy (0 to 1; 0 if unknown) and the mean increase of the loss of a group."""
    count = len(group.points)
    accuracy = sum((measured.accuracy or 0.0) - (point.accuracy or 0.0) for point in group.points) / count
    return accuracy, sum(point.loss for point in group.points) / count - measured.loss


def _looks(measured: SensitivityScan) -> dict[str, _Look]:
    """Return the style of each group, from the most to the least sensitive one."""
    ranked = [
        group.group
        for group in sorted(measured.groups, key=lambda group: largest_change(measured, group), reverse=True)
    ]
    most = ranked[: min(_NAMED, -(-len(ranked) // 2))]
    least = ranked[::-1][: min(_NAMED, len(ranked) // 2)]
    looks = dict.fromkeys(ranked, _Look(_OTHER))
    for names, colour in ((most, _MOST), (least, _LEAST)):
        for name, marker in zip(names, _MARKERS, strict=False):
            looks[name] = _Look(colour, marker, size=5, width=1.6, strength=1.0, order=3)
    return looks


def _draw_curves(axes: Axes, measured: SensitivityScan, looks: Mapping[str, _Look]) -> None:
    dense = measured.loss if measured.accuracy is None else 100 * measured.accuracy
    lines = {"": axes.axhline(dense, color=_INK, linewidth=1, linestyle="--", zorder=1)}
    for group in measured.groups:
        look = looks[group.group]
        points = [point for point in group.points if point.macs_removed > 0]
        (lines[group.group],) = axes.plot(
            [100 * point.macs_removed for point in points],
            [point.loss if point.accuracy is None else 100 * point.accuracy for point in points],
            color=look.colour,
            marker=look.marker,
            markersize=look.size,
            linewidth=look.width,
            alpha=look.strength,
            zorder=look.order,
        )
    axes.set_xscale("log")
    _logarithmic(axes.xaxis)
    axes.set_xlabel("MACs removed, % of the dense network (logarithmic)")
    axes.set_ylabel("loss" if measured.accuracy is None else "accuracy, %")
    _explain(axes, measured, looks, lines)


def _explain(axes: Axes, measured: SensitivityScan, looks: Mapping[str, _Look], lines: Mapping[str, Line2D]) -> None:
    """Draw the legend next to the curves."""
    from matplotlib.lines import Line2D

    blank = Line2D([], [], linestyle="none")
    by_name = {group.group: group for group in measured.groups}
    dense = f"{measured.loss:.3g}" if measured.accuracy is None else f"{measured.accuracy:.1%}"
    rows = [(lines[""], f"dense: {dense}")]
    for heading, colour in (("lose the most (mean over the ratios)", _MOST), ("lose the least", _LEAST)):
        named = [name for name, look in looks.items() if look.colour == colour]
        if named:
            rows += [(blank, ""), (blank, heading)]
            # The figure comes first: matplotlib omits entries that begin with an underscore, as names may.
            rows += [(lines[name], f"{_largest_change_text(measured, by_name[name])}  {name}") for name in named]
    others = [name for name, look in looks.items() if look.colour == _OTHER]
    if others:
        rows += [(blank, ""), (lines[others[0]], f"{len(others)} between")]
    axes.legend(*zip(*rows, strict=True), loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)


def _largest_change_text(measured: SensitivityScan, group: GroupSensitivity) -> str:
    accuracy, loss = largest_change(measured, group)
    points = round(-100 * accuracy, 1) + 0.0  # no -0.0
    return f"loss {loss:+.3g}" if measured.accuracy is None else f"{points:+.1f} points"


def _logarithmic(axis: Axis) -> None:
    """Format ticks as decimal numbers, at 1, 2 and 5 times the powers of ten on an axis of few decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < low * _FEW_DECADES else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def _draw_scores(
    axes: Axes,
    measured: SensitivityScan,
    scores: Mapping[str, Sequence[float]],
    looks: Mapping[str, _Look],
    criterion: str,
) -> None:
    import numpy as np

    names = [group.group for group in measured.groups]
    table = np.array([np.quantile(np.asarray(scores[name]), (0, 0.25, 0.5, 0.75, 1)) for name in names])
    positive = table[table > 0]
    title = f"Scores of the units of each group by {criterion}: all (thin), middle half (thick), median (dot)"
    if len(positive):
        if len(positive) < table.size:
            title += "; 0 is drawn at the lower edge"  # a logarithmic axis has no 0
        table = table.clip(min=float(positive.min()))
        axes.set_yscale("log")
    at = np.arange(len(names))
    colours = [looks[name].colour for name in names]
    thick = float(np.clip(300 / len(names), 2, 9))
    axes.vlines(at, table[:, 0], table[:, 4], colors=colours, linewidth=1)
    axes.vlines(at, table[:, 1], table[:, 3], colors=colours, linewidth=thick)
    axes.scatter(at, table[:, 2], s=6, color="white", edgecolors=_INK, linewidths=0.6, zorder=3)
    every = -(-len(names) // _TICKS)
    axes.set_xticks(at[::every], names[::every], rotation=90, fontsize=7)
    axes.set_xlim(-1, len(names))
    axes.set_xlabel("group, in the order of the network" + (f"; every {every}th is named" if every > 1 else ""))
    axes.set_ylabel("score (logarithmic)" if len(positive) else "score (all are 0)")
    axes.set_title(title, fontsize=10, color=_INK)
    if len(positive):
        _logarithmic(axes.yaxis)
