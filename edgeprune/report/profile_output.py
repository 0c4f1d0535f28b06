"""Output of a profile as a terminal table, and as a plot (PNG) of inference and layer times."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from edgeprune import extras
from edgeprune.bundle.manifest import Manifest
from edgeprune.profile.latency_figures import Latency
from edgeprune.profile.measured_limits import device_name, is_on_target
from edgeprune.profile.profile_result import DENSE, DeviceState, Figure, ModelProfile, Profile, Validity
from edgeprune.report import quantity_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.table import Table

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
"""Colors that color-blind readers can distinguish (Okabe and Ito 2008)."""
_INK, _FAINT = "#202124", "#dadce0"
_BINS = 60
_LAYERS = 20
"""Number of slowest layers with their own bar; the others share one bar."""
_NAME = 34
_STEADY = 0.5
"""Coefficient of variation above which slow inferences distort the mean."""


def render(profile: Profile) -> Table:
    """Return a rich table for the terminal with a column for each model.

    ``describe`` returns the text above the table, and ``notes`` the text below it.
    """
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("")
    for name in profile.models:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for name, cells in _rows(list(profile.models.values())):
        table.add_row(name, *cells, next(iter(profile.models.values())).latency_ms.kind)
    return table


def describe(profile: Profile) -> str:
    """Return the device and the runtime on one line."""
    device = profile.device
    threads = next(iter(profile.models.values())).threads
    name = device.get("model") or device.get("cpu") or device.get("machine")
    runtime = f"{device['runtime']} {device['runtime_version']}, {threads} thread{'s' if threads > 1 else ''}"
    return f"{device['uri']} ({name}), {runtime}"


def notes(profile: Profile, manifest: Manifest | None = None) -> list[str]:
    """Return remarks on the figures: ratios, state of the device, validity, and whether they belong to the target.

    Args:
        profile: Profile with the figures.
        manifest: Manifest of the measured bundle; None for a bare model.
    """
    first = next(iter(profile.models))
    remarks = [
        f"{name} takes {ratio.value:.3f} times the latency of {first} ({ratio.low:.3f} to {ratio.high:.3f}, "
        f"{ratio.confidence:.0%} interval)"
        for name, ratio in profile.ratios.items()
    ]
    if manifest is not None and not is_on_target(manifest.platform, profile):
        remarks.append(
            f"Measured on {device_name(profile)}, not on {manifest.target}: the figures do not apply to that target."
        )
    if profile.reference is not None:
        remarks += [
            f"Dense network, measured earlier on {device_name(profile.reference)}: {_reference(profile.reference)}."
        ]
    environment = profile.environment
    if environment is not None:
        states_by_time = {"before": environment.before, "during": environment.during, "after": environment.after}
        states = [f"{when}: {text}" for when, state in states_by_time.items() if (text := _state(state))]
        remarks += [f"Device {'; '.join(states)}."] if states else []
    validity = profile.validity
    if validity is not None:
        golden = [f"{name} on {check.samples} golden samples" for name, check in validity.golden.items()]
        remarks += [f"Outputs as expected: {', '.join(golden)}."] if golden and validity.valid else []
        remarks.append(_valid(profile, validity) if validity.valid else f"Not valid: {'; '.join(validity.problems)}.")
    return remarks


def _valid(profile: Profile, validity: Validity) -> str:
    """Return a sentence on the noise of valid figures, with advice if single inferences vary."""
    noise, limit = max(validity.noise.values(), default=None), validity.noise_limit
    of = "" if limit is None else f" (limit {limit:.1%})"
    sentence = "Valid." if noise is None else f"Valid: medians of blocks differ by at most {noise:.1%}{of}."
    variation = max(model.latency_ms.variation for model in profile.models.values())
    if variation > _STEADY:
        sentence += (
            f" Single inferences vary by {variation:.0%}, because some were slow: rely on the median, not on the mean "
            "and the high percentiles."
        )
    return sentence


def _reference(profile: Profile) -> str:
    """Return the median of the dense network, and the ratios of the other models to it on the same device."""
    ratios = (f"{name} takes {ratio.value:.3f} of it" for name, ratio in profile.ratios.items())
    return ", ".join([quantity_text.milliseconds(profile.models[DENSE].latency_ms.p50), *ratios])


def png(profile: Profile) -> bytes:
    """Return the plot as the content of a PNG file, which is reproducible."""
    with extras.required("plots"):
        from matplotlib.figure import Figure as Drawing

    layered = {name: model for name, model in profile.models.items() if model.layers}
    heights = [3.0, *(0.8 + 0.22 * min(_LAYERS + 1, len(model.layers or ())) for model in layered.values())]
    drawing = Drawing(figsize=(10, sum(heights) + 0.8), dpi=120, layout="constrained")
    axes: list[Axes] = list(drawing.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0])
    kind = next(iter(profile.models.values())).latency_ms.kind
    drawing.suptitle(f"{describe(profile)} ({kind})", fontsize=11, color=_INK)
    _draw_histogram(axes[0], profile)
    colours = dict(zip(profile.models, _COLOURS * len(profile.models), strict=False))
    for below, (name, model) in zip(axes[1:], layered.items(), strict=True):
        _draw_layers(below, name, model, colours[name])
    content = io.BytesIO()
    drawing.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()


def _draw_histogram(axes: Axes, profile: Profile) -> None:
    import numpy as np

    runs = {name: np.concatenate(model.blocks_ms) for name, model in profile.models.items()}
    # Rare slow runs would squeeze all others into one bar; they are counted in the last.
    highest = max(float(np.percentile(values, 95)) for values in runs.values())
    lowest = min(float(values.min()) for values in runs.values())
    bins: list[float] = np.linspace(lowest, max(highest, lowest * 1.001), _BINS).tolist()
    for (name, values), colour in zip(runs.items(), _COLOURS * len(runs), strict=False):
        median = float(np.median(values))
        label = f"{name}, median {quantity_text.milliseconds(median)}"
        axes.hist(np.minimum(values, bins[-1]), bins=bins, color=colour, alpha=0.6, label=label)
        axes.axvline(median, color=colour, linewidth=1)
    axes.set_xlabel("latency (ms); the last bar includes all slower inferences", fontsize=9)
    axes.set_ylabel("inferences", fontsize=9)
    axes.legend(fontsize=9, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=_FAINT, linewidth=0.5)
    axes.set_axisbelow(True)


def _draw_layers(axes: Axes, name: str, model: ModelProfile, colour: str) -> None:
    layers = list(model.layers or ())
    slowest = set(sorted(range(len(layers)), key=lambda index: -layers[index].ms)[:_LAYERS])
    bars = [(layers[index].name or layers[index].kind, layers[index].ms) for index in sorted(slowest)]
    remaining_ms = [layer.ms for index, layer in enumerate(layers) if index not in slowest]
    if remaining_ms:
        bars.append((f"{len(remaining_ms)} others", sum(remaining_ms)))
    places = range(len(bars))
    axes.barh(places, [ms for _, ms in bars], color=colour, height=0.7)
    axes.set_yticks(
        places, [label if len(label) <= _NAME else f"…{label[1 - _NAME :]}" for label, _ in bars], fontsize=7
    )
    axes.invert_yaxis()
    axes.set_title(f"{name}: time of layers, in the order of execution (ms)", fontsize=9, color=_INK, loc="left")
    axes.spines[["top", "right"]].set_visible(False)


def _rows(models: Sequence[ModelProfile]) -> list[tuple[str, list[str]]]:
    def figures(show: Callable[[float], str], of: Callable[[ModelProfile], Figure | None]) -> list[str]:
        return ["" if (figure := of(model)) is None else show(figure.value) for model in models]

    rows = [
        (
            f"latency {field.name}",
            [quantity_text.milliseconds(getattr(model.latency_ms, field.name)) for model in models],
        )
        for field in fields(Latency)
        if field.name not in ("variation", "runs")
    ]
    rows += [
        ("variation", [f"{model.latency_ms.variation:.1%}" for model in models]),
        ("inferences", [f"{model.latency_ms.runs:,}" for model in models]),
        ("first inference", figures(quantity_text.milliseconds, lambda model: model.first_ms)),
        ("load", figures(quantity_text.milliseconds, lambda model: model.load_ms)),
        ("peak memory", figures(quantity_text.size, lambda model: model.peak_memory_bytes)),
        ("runtime's memory", figures(quantity_text.size, lambda model: model.runtime_memory_bytes)),
        ("GPU memory", figures(quantity_text.size, lambda model: model.gpu_memory_bytes)),
        ("tensor arena", figures(quantity_text.size, lambda model: model.arena_bytes)),
        ("energy", figures(lambda value: f"{value:.4g} mJ", lambda model: model.energy_mj)),
    ]
    return [(name, cells) for name, cells in rows if any(cells)]


def _state(state: DeviceState) -> str:
    parts = []
    if state.temperature_c:
        parts.append(f"{max(state.temperature_c.values()):.0f} °C")
    if state.clock_mhz:
        parts.append(f"{max(state.clock_mhz.values()):.0f} MHz")
    parts += sorted(set(state.governor.values()))
    parts += [] if state.power_mode is None else [state.power_mode]
    parts += state.throttle or ()
    return ", ".join(parts)
