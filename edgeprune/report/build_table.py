"""The table of a build: dense, pruned and their ratio, as data, for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from edgeprune.bundle.manifest import Manifest
from edgeprune.profile.measured_limits import device_name, is_on_target
from edgeprune.profile.profile_result import ModelProfile, Profile, RatioFigure
from edgeprune.report import microcontroller_notes, quantity_text

if TYPE_CHECKING:
    from rich.table import Table

Kind = Literal["exact", "measured", "emulated", "estimated"]

FOOTNOTE = "MACs: multiply-adds of one sample; FLOPs = 2 x MACs."


@dataclass(frozen=True)
class TableRow:
    """One quantity of both networks.

    Attributes:
        name: As it is shown.
        key: For machines: ``macs``, ``latency_ms.p50``, ...
        dense: Value of the dense network.
        pruned: Value of the pruned one.
        kind: Where the values come from.
        shown: ``dense`` and ``pruned`` as text, with units.
        change: Their ratio as text; for accuracy the difference in points, for another metric the difference.
        ratio: ``pruned`` over ``dense``; None for accuracy, and where dense is 0.
        where: The device of both values, if it is not the target: ``this machine (x86_64)``; else empty.
    """

    name: str
    key: str
    dense: float
    pruned: float
    kind: Kind
    shown: tuple[str, str]
    change: str
    ratio: float | None
    where: str = ""

    @property
    def origin(self) -> str:
        """Provenance for people, empty for what is exact. The caption names the device."""
        if self.where:
            return "this machine" if self.where.startswith("this machine") else "elsewhere"
        return "" if self.kind == "exact" else self.kind


def rows(manifest: Manifest, profile: Profile | None = None) -> list[TableRow]:
    """The rows of a build, in order; a quantity that is not known of both networks is left out.

    Args:
        manifest: Of the bundle.
        profile: Models ``dense`` and ``pruned`` on one device, and the forms that could ship instead, by precision.
    """
    dense, pruned, shipped = manifest.metrics.dense, manifest.metrics.pruned, manifest.metrics.shipped
    made = [
        _ratio_row("MACs", "macs", dense.macs, pruned.macs, quantity_text.count),
        _ratio_row("parameters", "params", dense.params, pruned.params, quantity_text.count),
    ]
    if dense.file_bytes is not None and shipped.file_bytes is not None:
        made.append(_ratio_row("file", "file_bytes", dense.file_bytes, shipped.file_bytes, quantity_text.size))
    if dense.accuracy is not None:
        if pruned.accuracy is not None:
            made.append(_accuracy_row(manifest.metric, "accuracy", dense.accuracy, pruned.accuracy))
        if shipped.accuracy is not None:
            name = f"{manifest.metric}, shipped"
            made.append(_accuracy_row(name, "shipped_accuracy", dense.accuracy, shipped.accuracy))
    if profile is not None and {"dense", "pruned"} <= profile.models.keys():
        made += _measured_rows(manifest, profile)
    return made + _board_rows(manifest)


def render(manifest: Manifest, profile: Profile | None = None) -> Table:
    """The table for a terminal, made with rich."""
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(
        title=title(manifest),
        caption=_caption(manifest, profile),
        box=SIMPLE,
        pad_edge=False,
        collapse_padding=True,
        title_justify="left",
    )
    table.caption_justify = "left"
    for column in ("", "dense", "pruned", "ratio", ""):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for row in rows(manifest, profile):
        table.add_row(row.name, *row.shown, row.change, row.origin)
    return table


def markdown(manifest: Manifest, profile: Profile | None = None) -> str:
    """The table as Markdown, with its title above and its notes below."""
    lines = [f"**{title(manifest)}**", "", "| | dense | pruned | ratio | |", "|---|---:|---:|---:|---|"]
    lines += [
        f"| {row.name} | {row.shown[0]} | {row.shown[1]} | {row.change} | {row.origin} |"
        for row in rows(manifest, profile)
    ]
    return "\n".join([*lines, "", _caption(manifest, profile), ""])


def title(manifest: Manifest) -> str:
    """Title of a build: its recipe and target."""
    return f"{manifest.recipe} for {manifest.target}"


def profiled(manifest: Manifest, profile: Profile) -> str:
    """The model whose latency is told: the one that ships, else its float32 form."""
    ships = "float32" if manifest.precision is None else manifest.precision.shipped
    return ships if ships in profile.models else "pruned"


def _measured_rows(manifest: Manifest, profile: Profile) -> list[TableRow]:
    """Latency and memory of a profile that has the dense and the pruned network."""
    dense, shipped = manifest.metrics.dense, manifest.metrics.shipped
    name, on_target = profiled(manifest, profile), is_on_target(manifest.platform, profile)
    before, after = profile.models["dense"], profile.models[name]
    made = _latency_rows(before, after, profile.ratios.get(name))
    memory = before.peak_memory_bytes, after.peak_memory_bytes
    if memory[0] is not None and memory[1] is not None:
        values = memory[0].value, memory[1].value
        made.append(_ratio_row("peak memory", "peak_memory_bytes", *values, quantity_text.size, kind=memory[0].kind))
    made = made if on_target else [replace(row, where=device_name(profile)) for row in made]
    if dense.predicted_latency_ms is not None and shipped.predicted_latency_ms is not None:
        float32 = profile.models["pruned"].latency_ms.p50 if on_target else None
        made.insert(4, _predicted_row(dense.predicted_latency_ms, shipped.predicted_latency_ms, float32))
    return made


def _latency_rows(dense: ModelProfile, pruned: ModelProfile, ratio: RatioFigure | None) -> list[TableRow]:
    made = [
        _ratio_row(
            f"latency {name}",
            f"latency_ms.{name}",
            before,
            after,
            quantity_text.milliseconds,
            kind=dense.latency_ms.kind,
        )
        for name in ("p50", "p90", "p99", "min")
        for before, after in [(getattr(dense.latency_ms, name), getattr(pruned.latency_ms, name))]
    ]
    if ratio is not None:
        interval = f"{ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"
        made[0] = replace(made[0], change=interval, ratio=ratio.value)
    return made


def _board_rows(manifest: Manifest) -> list[TableRow]:
    """Rows of a microcontroller: estimated RAM, flash and latency."""
    found, metrics = manifest.microcontroller, manifest.metrics
    if found is None:
        return []
    arena = found.dense.arena.arena_bytes, found.shipped.arena.arena_bytes
    flash = found.dense.flash.flash_bytes, found.shipped.flash.flash_bytes
    made = [
        _ratio_row("arena", "arena_bytes", *arena, quantity_text.size, kind="estimated"),
        _ratio_row("flash", "flash_bytes", *flash, quantity_text.size, kind="estimated"),
    ]
    before, after = metrics.dense.predicted_latency_ms, metrics.shipped.predicted_latency_ms
    if before is not None and after is not None:
        made.append(
            _ratio_row("latency", "predicted_latency_ms", before, after, quantity_text.milliseconds, kind="estimated")
        )
    return made


def _predicted_row(dense: float, pruned: float, measured: float | None) -> TableRow:
    """Latencies that the target's table predicts, and the error for the pruned float32 network if it was measured."""
    row = _ratio_row(
        "latency, predicted", "predicted_latency_ms", dense, pruned, quantity_text.milliseconds, kind="estimated"
    )
    if measured is None:
        return row
    return replace(row, change=f"{row.change}, off by {pruned / measured - 1:+.1%}")


def _ratio_row(
    name: str, key: str, dense: float, pruned: float, show: Callable[[float], str], *, kind: Kind = "exact"
) -> TableRow:
    ratio = pruned / dense if dense else None
    change = "" if ratio is None else f"{ratio:.3f}" if kind == "exact" else f"{ratio:.2f}"
    return TableRow(name, key, dense, pruned, kind, (show(dense), show(pruned)), change, ratio)


def _accuracy_row(name: str, key: str, dense: float, pruned: float) -> TableRow:
    if name.startswith("accuracy"):
        shown, change = (f"{100 * dense:.2f} %", f"{100 * pruned:.2f} %"), f"{100 * (pruned - dense):+.2f} points"
    else:
        shown, change = (f"{dense:.4g}", f"{pruned:.4g}"), f"{pruned - dense:+.4g}"
    return TableRow(name, key, dense, pruned, "exact", shown, change, None)


def _caption(manifest: Manifest, profile: Profile | None) -> str:
    if profile is None or not profile.models:
        return "\n".join([FOOTNOTE, *microcontroller_notes.notes(manifest)])
    device = profile.device
    threads = next(iter(profile.models.values())).threads
    where = (
        f"{device['uri']} ({device.get('cpu') or device.get('machine')}), "
        f"{device['runtime']} {device['runtime_version']}, "
        f"{threads} thread{'s' if threads > 1 else ''}"
    )
    elsewhere = f", not on {manifest.target}" if not is_on_target(manifest.platform, profile) else ""
    here = "this machine, " if elsewhere and device["uri"].startswith("local:") else ""
    return (
        f"{FOOTNOTE}\nProfiled on {here}{where}{elsewhere}.\n"
        "Memory is what the model adds to the runtime. Ratio of medians with its 95 % interval."
        f"{_which(manifest, profile)}"
    )


def _which(manifest: Manifest, profile: Profile) -> str:
    """Says it where latency is not that of two float32 files, of which the second ships."""
    ships = "float32" if manifest.precision is None else manifest.precision.shipped
    if ships == "float32":
        return ""
    if profiled(manifest, profile) == ships:
        return f"\nLatency and memory of pruned are those of the {ships} file, which ships."
    return f"\nLatency and memory of pruned are those of its float32 file; {ships} ships, and was not measured here."
