"""Section on latency: histograms, percentiles, and layer times if the device reports them."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import numpy as np

from edgeprune.profile import Profile
from edgeprune.profile.measured_limits import device_name, measured_elsewhere
from edgeprune.profile.profile_result import ModelProfile
from edgeprune.report import quantity_text
from edgeprune.report.charts import ChartAxis, area, line, numbers, plot, stairs
from edgeprune.report.components import Column, ReportSource, Section, figure, kind, model_look, paragraph, table
from edgeprune.report.markup import Content, Markup, element
from edgeprune.report.sections import device_section

_BINS = 80
_PERCENTILES = ("p50", "p90", "p95", "p99", "min", "mean")


def section(source: ReportSource) -> Section:
    """Return the section, which is a single sentence if nothing was measured."""
    profile = source.profile
    if profile is None or not profile.models:
        return Section("latency", "Latency", paragraph("Nothing was measured."))
    device = profile.device
    threads = next(iter(profile.models.values())).threads
    comparison = (
        f"On {device['uri']} ({device.get('cpu') or device.get('machine', '')}), {device.get('runtime', '')} "
        f"{device.get('runtime_version', '')}, {threads} thread{'' if threads == 1 else 's'}; the models were "
        "measured in alternating blocks."
    )
    body = [
        paragraph(comparison, look="lede"),
        _elsewhere(source, profile),
        device_section.validity(profile),
        _histograms(profile),
        _table(source, profile),
        device_section.layer_times(profile),
        device_section.state(profile),
        _earlier(source, profile.reference),
    ]
    return Section("latency", "Latency", body)


def _elsewhere(source: ReportSource, profile: Profile) -> Content:
    platform = source.manifest.platform
    machine = None if platform is None else measured_elsewhere(platform, profile)
    if machine is None:
        return None
    profile_command = element("code", "edgeprune profile BUNDLE --device URI")
    target = source.manifest.target
    return paragraph(
        f"Measured on {device_name(profile)}. For {target} these are estimates: it does not run on {machine}. ",
        profile_command,
        " measures on the target.",
    )


def _earlier(source: ReportSource, profile: Profile | None) -> Content:
    """Return the figures of the dense network from an earlier profile, possibly of another device."""
    if profile is None:
        return None
    where = f"{device_name(profile)}, {profile.device.get('runtime', '')} {profile.device.get('runtime_version', '')}"
    return [
        element("h3", "Comparison with the dense network"),
        paragraph(f"Measured earlier, on {where.rstrip()}. Do not compare these times with those above."),
        _table(source, profile),
    ]


def _histograms(profile: Profile) -> Markup:
    runs = {name: np.array(list(chain.from_iterable(model.blocks_ms))) for name, model in profile.models.items()}
    low = min(float(values.min()) for values in runs.values())
    high = max(low, *(1.1 * model.latency_ms.p90 for model in profile.models.values()))
    x = ChartAxis(low - 0.05 * (high - low), high, "ms", "{:g}".format)
    charts = [
        _histogram(name, values, profile.models[name], x if last else replace(x, title="", show=None))
        for name, values in runs.items()
        for last in [name == list(runs)[-1]]
    ]
    origin = next(iter(profile.models.values())).latency_ms.kind
    return figure(["Number of runs by latency. The vertical line is the median. ", kind(origin)], charts)


def _histogram(name: str, values: np.ndarray, model: ModelProfile, x: ChartAxis) -> Markup:
    counts, _ = np.histogram(values, bins=_BINS, range=(x.low, x.high))
    y = ChartAxis(0, float(counts.max()) or 1.0)
    look = model_look(name)
    median = x.at(model.latency_ms.p50)
    beyond = int((values > x.high).sum())
    description = f"median {quantity_text.milliseconds(model.latency_ms.p50)}, {len(values):,} runs"
    if beyond:
        description += f", {beyond:,} slower than the axis"
    marks = [
        area(stairs(counts.tolist(), numbers(_BINS, ""), y), f"solid {look}"),
        line([(0, 100), (100, 100)], "grid"),
        line([(median, 0), (median, 100)], "median"),
    ]
    chart = plot(f"Latency of {name}", description, marks, x=x, y=y, height_rem=3.5)
    return element(
        "div", element("p", element("strong", name), " ", description, class_="name"), chart, class_="named histogram"
    )


def _table(source: ReportSource, profile: Profile) -> Markup:
    first = next(iter(profile.models))
    energy = any(model.energy_mj is not None for model in profile.models.values())
    columns = (
        Column("model", False),
        *map(Column, (*_PERCENTILES, "first", "load", "variation", "runs")),
        *([Column("energy, mJ")] if energy else []),
        Column(f"over {first}"),
    )
    rows: list[list[Content]] = []
    for name, model in profile.models.items():
        ratio = profile.ratios.get(name)
        figures = model.latency_ms
        rows.append(
            [
                name + ("\N{NO-BREAK SPACE}(shipped)" if name == source.shipped else ""),
                *(f"{getattr(figures, percentile):.4g}" for percentile in _PERCENTILES),
                f"{model.first_ms.value:.4g}",
                "–" if model.load_ms is None else f"{model.load_ms.value:.4g}",
                f"{figures.variation:.2f}",
                f"{figures.runs:,}",
                *([] if not energy else ["–" if model.energy_mj is None else f"{model.energy_mj.value:.4g}"]),
                "–" if ratio is None else f"{ratio.value:.2f} ({ratio.low:.2f}–{ratio.high:.2f})",
            ]
        )
    origin = next(iter(profile.models.values())).latency_ms.kind
    caption = (
        f"Latency of one inference in milliseconds ({origin}). Variation: standard deviation / mean. "
        f"Over {first}: ratio of medians with its 95 % interval."
    )
    return table(caption, columns, rows)
