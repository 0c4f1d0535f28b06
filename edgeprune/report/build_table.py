"""Table of a build with dense values, pruned values and their ratio, as data, for the terminal and as Markdown."""

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
    """One quantity of the dense and the pruned network.

    Attributes:
        name: Displayed name.
        key: Key in JSON, such as ``macs`` or ``latency_ms.p50``.
        dense: Value of the dense network.
        pruned: Value of the pruned network.
        kind: Provenance of both values.
        texts: ``dense`` and ``pruned`` as text with units.
        change: Ratio as text; for accuracy the difference in points, for another metric the difference.
        ratio: ``pruned / dense``; None for accuracy, and if ``dense`` is 0.
        where: Device of both values if it is not the target, such as ``this machine (x86_64)``; else empty.
    """

    name: str
    key: str
    dense: float
    pruned: float
    kind: Kind
    texts: tuple[str, str]
    change: str
    ratio: float | None
    where: str = ""

    @property
    def origin(self) -> str:
        """Displayed provenance; empty for exact values. The caption names the device."""
        if self.where:
            return "this machine" if self.where.startswith("this machine") else "elsewhere"
        return "" if self.kind == "exact" else self.kind


def rows(manifest: Manifest, profile: Profile | None = None) -> list[TableRow]:
    """Return the rows of a build in order, without quantities that are not known for both networks.

    Args:
        manifest: Manifest of the bundle.
        profile: Profile of the models ``dense`` and ``pruned`` on one device, and of other precisions by name.
    """
    dense, pruned, shipped = manifest.metrics.dense, manifest.metrics.pruned, manifest.metrics.shipped
    result = [
        _ratio_row("MACs", "macs", dense.macs, pruned.macs, quantity_text.count),
        _ratio_row("parameters", "params", dense.params, pruned.params, quantity_text.count),
    ]
    if dense.file_bytes is not None and shipped.file_bytes is not None:
        result.append(_ratio_row("file", "file_bytes", dense.file_bytes, shipped.file_bytes, quantity_text.size))
    if dense.accuracy is not None:
        if pruned.accuracy is not None:
            result.append(_accuracy_row(manifest.metric, "accuracy", dense.accuracy, pruned.accuracy))
        if shipped.accuracy is not None:
            name = f"{manifest.metric}, shipped"
            result.append(_accuracy_row(name, "shipped_accuracy", dense.accuracy, shipped.accuracy))
    if profile is not None and {"dense", "pruned"} <= profile.models.keys():
        result += _measured_rows(manifest, profile)
    return result + _board_rows(manifest)


def render(manifest: Manifest, profile: Profile | None = None) -> Table:
    """Return a rich table for the terminal."""
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
        table.add_row(row.name, *row.texts, row.change, row.origin)
    return table


def markdown(manifest: Manifest, profile: Profile | None = None) -> str:
    """Return the table as Markdown, with its title above and its notes below."""
    lines = [f"**{title(manifest)}**", "", "| | dense | pruned | ratio | |", "|---|---:|---:|---:|---|"]
    lines += [
        f"| {row.name} | {row.texts[0]} | {row.texts[1]} | {row.change} | {row.origin} |"
        for row in rows(manifest, profile)
    ]
    return "\n".join([*lines, "", _caption(manifest, profile), ""])


def title(manifest: Manifest) -> str:
    """Return the title of a build: its recipe and target."""
    return f"{manifest.recipe} for {manifest.target}"


def profiled(manifest: Manifest, profile: Profile) -> str:
    """Return the name of the model whose latency is shown: the shipped precision if measured, else float32."""
    shipped = "float32" if manifest.precision is None else manifest.precision.shipped
    return shipped if shipped in profile.models else "pruned"


def _measured_rows(manifest: Manifest, profile: Profile) -> list[TableRow]:
    """Return the rows of latency and memory from a profile with the dense and the pruned network."""
    dense, shipped = manifest.metrics.dense, manifest.metrics.shipped
    name, on_target = profiled(manifest, profile), is_on_target(manifest.platform, profile)
    before, after = profile.models["dense"], profile.models[name]
    result = _latency_rows(before, after, profile.ratios.get(name))
    memory = before.peak_memory_bytes, after.peak_memory_bytes
    if memory[0] is not None and memory[1] is not None:
        values = memory[0].value, memory[1].value
        result.append(_ratio_row("peak memory", "peak_memory_bytes", *values, quantity_text.size, kind=memory[0].kind))
    result = result if on_target else [replace(row, where=device_name(profile)) for row in result]
    if dense.predicted_latency_ms is not None and shipped.predicted_latency_ms is not None:
        float32 = profile.models["pruned"].latency_ms.p50 if on_target else None
        result.insert(4, _predicted_row(dense.predicted_latency_ms, shipped.predicted_latency_ms, float32))
    return result


def _latency_rows(dense: ModelProfile, pruned: ModelProfile, ratio: RatioFigure | None) -> list[TableRow]:
    result = [
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
        result[0] = replace(result[0], change=interval, ratio=ratio.value)
    return result


def _board_rows(manifest: Manifest) -> list[TableRow]:
    """Return the rows of a microcontroller: estimated RAM, flash and latency."""
    board, metrics = manifest.microcontroller, manifest.metrics
    if board is None:
        return []
    arena = board.dense.arena.arena_bytes, board.shipped.arena.arena_bytes
    flash = board.dense.flash.flash_bytes, board.shipped.flash.flash_bytes
    result = [
        _ratio_row("arena", "arena_bytes", *arena, quantity_text.size, kind="estimated"),
        _ratio_row("flash", "flash_bytes", *flash, quantity_text.size, kind="estimated"),
    ]
    before, after = metrics.dense.predicted_latency_ms, metrics.shipped.predicted_latency_ms
    if before is not None and after is not None:
        result.append(
            _ratio_row("latency", "predicted_latency_ms", before, after, quantity_text.milliseconds, kind="estimated")
        )
    return result


def _predicted_row(dense: float, pruned: float, measured: float | None) -> TableRow:
    """Return the row of latencies that the target's table predicts, with the prediction error if it is known."""
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
        text, change = (f"{100 * dense:.2f} %", f"{100 * pruned:.2f} %"), f"{100 * (pruned - dense):+.2f} points"
    else:
        text, change = (f"{dense:.4g}", f"{pruned:.4g}"), f"{pruned - dense:+.4g}"
    return TableRow(name, key, dense, pruned, "exact", text, change, None)


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
        "Memory excludes the runtime. Ratio of medians with its 95 % interval."
        f"{_precision_note(manifest, profile)}"
    )


def _precision_note(manifest: Manifest, profile: Profile) -> str:
    """Return a note on the measured file if the shipped precision is not float32; else an empty text."""
    shipped = "float32" if manifest.precision is None else manifest.precision.shipped
    if shipped == "float32":
        return ""
    if profiled(manifest, profile) == shipped:
        return f"\nLatency and memory of pruned are those of the shipped {shipped} file."
    return f"\nLatency and memory of pruned are those of its float32 file; the shipped {shipped} file was not measured."
