"""Section with waterfall charts from dense to shipped: multiply-adds, bytes, accuracy and latency."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgeprune.profile.measured_limits import device_name, is_on_target
from edgeprune.report import quantity_text
from edgeprune.report.build_table import profiled
from edgeprune.report.components import ReportSource, Section, kind, paragraph
from edgeprune.report.markup import Content, Markup, element


@dataclass(frozen=True)
class _Stop:
    """A network in a waterfall chart.

    Attributes:
        name: Name of the network.
        step: Name of the step that led to it; empty for the dense network.
        value: Value of the quantity.
    """

    name: str
    step: str
    value: float


@dataclass(frozen=True)
class _Fall:
    """Waterfall chart of one quantity.

    Attributes:
        title: Title with the name of the quantity.
        kind: Provenance of the values.
        stops: Networks in order, starting with dense.
        show: Function that formats a value with its unit.
        change: Function that formats a difference with its unit.
        zero: Whether the axis starts at 0; otherwise values are drawn as marks on a part of the axis.
    """

    title: str
    kind: str
    stops: Sequence[_Stop]
    show: Callable[[float], str]
    change: Callable[[float], str]
    zero: bool = True


def section(source: ReportSource) -> Section:
    """Return the section with one small waterfall chart for each quantity."""
    falls = [fall for fall in (_macs(source), _bytes(source), _accuracy(source), _latency(source)) if fall is not None]
    lede = paragraph(
        "Each bar between two networks is the change by that step. FLOPs are twice the multiply-adds.", look="lede"
    )
    return Section(
        "waterfall", "From dense to shipped", [lede, element("div", map(_waterfall, falls), class_="panels")]
    )


def _macs(source: ReportSource) -> _Fall:
    metrics = source.manifest.metrics
    stops = [_Stop("dense", "", metrics.dense.macs), _Stop("shipped", "pruning", metrics.shipped.macs)]
    return _Fall("Multiply-adds of one sample", "exact", stops, quantity_text.count, _less(quantity_text.count))


def _bytes(source: ReportSource) -> _Fall | None:
    metrics = source.manifest.metrics
    values = metrics.dense.file_bytes, metrics.pruned.file_bytes, metrics.shipped.file_bytes
    stops = _stops(values, "pruning", None if source.shipped == "float32" else source.shipped)
    return None if stops is None else _Fall("Model file", "exact", stops, quantity_text.size, _less(quantity_text.size))


def _accuracy(source: ReportSource) -> _Fall | None:
    metrics = source.manifest.metrics
    values = metrics.dense.accuracy, metrics.pruned.accuracy, metrics.shipped.accuracy
    stops = _stops(values, "pruning and training", f"export, {source.shipped}")
    samples = metrics.shipped.samples
    title = source.manifest.metric.capitalize() + (f" on {samples:,} samples" if samples else "")
    if stops is None:
        return None
    return _Fall(title, "measured", stops, source.accuracy, source.accuracy_change, zero=False)


def _latency(source: ReportSource) -> _Fall | None:
    profile = source.profile
    if profile is not None and "dense" not in profile.models:
        profile = profile.reference
    if profile is None or "dense" not in profile.models:
        return None
    last = profiled(source.manifest, profile)
    medians = {
        name: profile.models[name].latency_ms.p50 for name in ("dense", "pruned", last) if name in profile.models
    }
    ships = source.shipped in (last, "float32")
    stops = [_Stop("dense", "", medians["dense"])]
    if "pruned" in medians:
        stops.append(_Stop("shipped" if ships and last == "pruned" else "pruned", "pruning", medians["pruned"]))
    if last in medians and last != "pruned":
        stops.append(_Stop("shipped", last if "pruned" in medians else f"pruning, {last}", medians[last]))
    of_target = is_on_target(source.manifest.platform, profile)
    device = profile.device["uri"] if of_target else device_name(profile)
    title = f"Latency, median, on {device}" + ("" if ships else ", in float32")
    return _Fall(
        title,
        profile.models["dense"].latency_ms.kind,
        stops,
        quantity_text.milliseconds,
        _less(quantity_text.milliseconds),
    )


def _stops(values: Sequence[float | None], first: str, second: str | None) -> list[_Stop] | None:
    """Return the networks dense, pruned and shipped, or only dense and shipped if pruned is not a separate step."""
    dense, pruned, shipped = values
    if dense is None or shipped is None:
        return None
    if pruned is None or second is None:
        return [_Stop("dense", "", dense), _Stop("shipped", first, shipped)]
    return [_Stop("dense", "", dense), _Stop("pruned", first, pruned), _Stop("shipped", second, shipped)]


def _less(show: Callable[[float], str]) -> Callable[[float], str]:
    return lambda change: f"{'+' if change > 0 else '−'}{show(abs(change))}" if change else "none"


def _waterfall(fall: _Fall) -> Markup:
    values = [stop.value for stop in fall.stops]
    low, high = (0.0, max(values)) if fall.zero else _around(values)
    rows: list[Markup] = []
    for index, stop in enumerate(fall.stops):
        look = "dense" if index == 0 else "pruned" if index == len(fall.stops) - 1 else "between"
        if index:
            before = values[index - 1]
            rows.append(_row(stop.step, (before, stop.value), (low, high), "step", fall.change(stop.value - before)))
        begin = low if fall.zero else stop.value
        rows.append(_row(stop.name, (begin, stop.value), (low, high), look, fall.show(stop.value), stop=True))
    first, last = values[0], values[-1]
    total = f" {last / first:.3f}× dense" if fall.zero and first else ""
    scale = None if fall.zero else element("p", f"Axis from {fall.show(low)} to {fall.show(high)}", class_="note")
    caption = element("caption", element("strong", fall.title), " ", kind(fall.kind), total)
    return element("div", element("table", caption, element("tbody", rows), class_="fall"), scale)


def _row(
    name: str, ends: tuple[float, float], axis: tuple[float, float], look: str, value: Content, *, stop: bool = False
) -> Markup:
    low, high = axis
    left, right = (100 * (end - low) / (high - low or 1.0) for end in sorted(ends))
    bar = element("span", class_=look, style=f"left:{left:.4g}%;width:{right - left:.4g}%")
    return element(
        "tr",
        element("th", name, scope="row"),
        element("td", element("span", bar, class_="track", aria_hidden="true")),
        element("td", value, class_="number"),
        class_="stop" if stop else "change",
    )


def _around(values: Sequence[float]) -> tuple[float, float]:
    """Return round ends of an axis that shows the differences of ``values`` without exaggerating small ones."""
    low, high = min(values), max(values)
    room = max(high - low, 0.01 * max(abs(high), abs(low)), 1e-9)
    step = 10.0 ** math.floor(math.log10(room))
    return math.floor((low - room / 2) / step) * step, math.ceil((high + room / 2) / step) * step
