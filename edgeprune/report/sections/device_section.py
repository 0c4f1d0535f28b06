"""Parts of the latency section about the device: layer times, state of the device, and validity of the figures."""

from __future__ import annotations

from collections.abc import Mapping

from edgeprune.profile import Profile
from edgeprune.profile.profile_result import DeviceState, LayerTime
from edgeprune.report import quantity_text
from edgeprune.report.charts import ChartAxis, bars, numbers, plot
from edgeprune.report.components import Column, bar, figure, folded, kind, model_look, paragraph, table
from edgeprune.report.markup import Content, Markup, element


def layer_times(profile: Profile) -> Content:
    """Return a chart and a table of layer times for each model, or a note if the device reported none."""
    timed = {name: model.layers for name, model in profile.models.items() if model.layers}
    if not timed:
        return paragraph("The device reported no layer times.", look="note")
    highest = max(layer.ms for layers in timed.values() for layer in layers)
    origin = next(iter(profile.models.values())).latency_ms.kind
    charts = [_layer_chart(name, layers, highest) for name, layers in timed.items()]
    caption = (
        "Time of each layer in the order of execution. Timing adds overhead, so compare layers only with each other. "
    )
    tables = [
        folded(f"All {len(layers)} layers of {name}", _listed(name, layers, origin)) for name, layers in timed.items()
    ]
    return [figure([caption, kind(origin)], charts), tables]


def validity(profile: Profile) -> Content:
    """Return whether the figures are valid, with the reasons if not."""
    result = profile.validity
    if result is None:
        return None
    limit = "" if result.noise_limit is None else f" (at most {100 * result.noise_limit:g} % is allowed)"
    noise = ", ".join(f"{name} {100 * value:.1f} %" for name, value in result.noise.items())
    golden = ", ".join(f"{name} on {check.samples:,} samples" for name, check in result.golden.items())
    if result.valid and result.noise_limit is None:
        status = element("span", "No problems found. The noise was not checked.")
    elif result.valid:
        status = element("strong", "✓ These figures may be used.", class_="good")
    else:
        status = element("strong", f"✗ Not valid: {'; '.join(result.problems)}.", class_="bad")
    return [
        paragraph(status),
        paragraph(f"Differences between medians of blocks: {noise}{limit}.", look="note") if noise else None,
        paragraph(f"Outputs match those of the bundle: {golden}.", look="note") if golden and result.valid else None,
    ]


def state(profile: Profile) -> Content:
    """Return a table of temperature, clock, governor and throttling before, during and after the measurement."""
    environment = profile.environment
    if environment is None:
        return None
    states_by_time = {"before": environment.before, "during": environment.during, "after": environment.after}
    states = {when: _state_figures(moment) for when, moment in states_by_time.items()}
    names = dict.fromkeys(name for moment in states.values() for name in moment)
    if not names:
        return None
    columns = (Column("", False), *(Column(when) for when in states_by_time))
    rows = [[name, *(moment.get(name, "–") for moment in states.values())] for name in names]
    return table("State of the device; during: highest temperature, median clock, mean power", columns, rows)


def _state_figures(moment: DeviceState) -> Mapping[str, str]:
    figures = {f"temperature, {name}": f"{value:.0f} °C" for name, value in moment.temperature_c.items()}
    figures |= {f"clock, {name}": f"{value:.0f} MHz" for name, value in moment.clock_mhz.items()}
    figures |= {f"power, {name}": f"{value:.0f} mW" for name, value in moment.power_mw.items()}
    figures |= {f"governor, {name}": value for name, value in moment.governor.items()}
    if moment.throttle is not None:
        figures["throttling"] = ", ".join(moment.throttle) or "none"
    if moment.power_mode is not None:
        figures["power mode"] = moment.power_mode
    return figures


def _layer_chart(name: str, layers: tuple[LayerTime, ...], highest: float) -> Markup:
    slowest = max(layers, key=lambda layer: layer.ms)
    total = quantity_text.milliseconds(sum(layer.ms for layer in layers))
    description = f"{len(layers)} layers take {total}; the slowest is {slowest.name or slowest.kind}"
    description += f", {quantity_text.milliseconds(slowest.ms)}"
    x, y = (
        numbers(len(layers), "layer", [layer.name or layer.kind for layer in layers]),
        ChartAxis(0, 1.05 * highest, "", quantity_text.milliseconds),
    )
    marks = bars([layer.ms for layer in layers], x, y, model_look(name))
    chart = plot(f"Layers of {name}", description, marks, x=x, y=y, height_rem=5)
    return element("div", element("p", element("strong", name), " ", description, class_="name"), chart, class_="named")


def _listed(name: str, layers: tuple[LayerTime, ...], origin: str) -> Markup:
    total = sum(layer.ms for layer in layers) or 1.0
    look = model_look(name)
    columns = (
        Column("layer", False),
        Column("operation", False),
        Column("ms"),
        Column("fraction"),
        Column("of all", False),
    )
    rows: list[list[Content]] = [
        [layer.name, layer.kind, f"{layer.ms:.4g}", f"{100 * layer.ms / total:.1f} %", bar(layer.ms / total, look)]
        for layer in layers
    ]
    return table(f"Mean time of the layers of {name} in an inference ({origin})", columns, rows)
