"""Section on a microcontroller: available and used RAM and flash, and latency."""

from __future__ import annotations

from edgeprune.bundle.microcontroller_report import (
    AgreementReport,
    CompilerReport,
    FlashReport,
    LatencyEstimate,
    MicrocontrollerReport,
    PeakReport,
)
from edgeprune.report import quantity_text
from edgeprune.report.components import Column, ReportSource, Section, folded, kind, paragraph, table, terms
from edgeprune.report.markup import Content, Markup, element


def section(source: ReportSource) -> Section | None:
    """Return the section; None if the target is not a microcontroller."""
    board = source.manifest.microcontroller
    if board is None:
        return None
    pairs: list[tuple[Content, Content]] = [
        ("latency", _latency(board.latency)),
        ("TFLite Micro", None if board.agreement is None else _agreement(source, board.agreement)),
    ]
    body = [
        paragraph(
            f"Memory of {source.manifest.target} that is available to a model, and memory that the model uses.",
            look="lede",
        ),
        _fit(board),
        terms(pairs),
        *_compilers(board.dense.compiler, board.shipped.compiler),
        *_peak("Live tensors at the arena's peak, dense", board.dense.peak),
        *_peak("Live tensors at the arena's peak, shipped", board.shipped.peak),
        folded("The arena by part", _arena(board)),
        folded("The flash by part", [_flash(board), paragraph(board.shipped.flash.source, look="note")]),
    ]
    return Section("board", "On the board", body)


def _fit(board: MicrocontrollerReport) -> Markup:
    columns = (
        Column("memory", False),
        *map(Column, ("dense", "shipped", "available", "remaining")),
        Column("provenance", False),
    )
    usage = {
        "arena": ("arena_bytes", board.dense.arena.arena_bytes, board.shipped.arena.arena_bytes),
        "flash": ("flash_bytes", board.dense.flash.flash_bytes, board.shipped.flash.flash_bytes),
    }
    rows: list[list[Content]] = []
    for name, (cost, before, after) in usage.items():
        available = board.limits.get(cost)
        limits = (
            ("–", "–") if available is None else (quantity_text.size(available), quantity_text.size(available - after))
        )
        rows.append([name, quantity_text.size(before), quantity_text.size(after), *limits, kind("estimated")])
    return table("Arena and flash", columns, rows)


def _latency(latency: LatencyEstimate) -> Content:
    clock = f"at {latency.clock_mhz} MHz "
    if latency.cycles_per_mac is None:
        cycles = [] if latency.cycles is None else [f": {latency.cycles:,} cycles {clock}"]
        figures = [quantity_text.milliseconds(latency.latency_ms), *cycles]
    else:
        low, typical, high = latency.cycles_per_mac
        figures = [
            f"{quantity_text.milliseconds(latency.latency_ms)}{_latency_band(latency)}: ",
            f"{quantity_text.count(latency.macs)} multiply-adds of {typical:g} cycles ({low:g} to {high:g}) {clock}",
        ]
    return [
        *figures,
        kind(latency.kind),
        element("br"),
        latency.source,
    ]


def _latency_band(latency: LatencyEstimate) -> str:
    if latency.low_ms is None or latency.high_ms is None:
        return ""
    return f", error band {latency.low_ms:.3g} to {latency.high_ms:.3g} ms"


def _agreement(source: ReportSource, agreement: AgreementReport) -> Content:
    agreeing = "" if agreement.top1_agreement is None else quantity_text.percent(agreement.top1_agreement)
    same = f"same class as LiteRT for {agreeing} of " if agreeing else ""
    right = "" if agreement.accuracy is None else f"; {source.manifest.metric} {source.accuracy(agreement.accuracy)}"
    return [
        f"{same}{agreement.samples:,} samples, at most {agreement.worst_steps} int8 steps apart{right} ",
        kind("measured"),
    ]


def _compilers(dense: CompilerReport | None, shipped: CompilerReport | None) -> list[Markup]:
    """Return tables of a compiler's estimates and of operators on the CPU; empty without an accelerator."""
    if dense is None or shipped is None:
        return []
    rows: list[list[Content]] = [
        ["SRAM", quantity_text.size(dense.sram_bytes), quantity_text.size(shipped.sram_bytes), kind(shipped.kind)],
        ["flash", quantity_text.size(dense.flash_bytes), quantity_text.size(shipped.flash_bytes), kind(shipped.kind)],
        ["cycles", f"{dense.cycles:,}", f"{shipped.cycles:,}", kind(shipped.kind)],
    ]
    columns = (Column("figure", False), Column("dense"), Column("shipped"), Column("provenance", False))
    tables = [table(f"Estimates of {shipped.name}", columns, rows)]
    if shipped.fallback:
        named = (Column("operator", False), Column("output", False), Column("reason", False))
        tables.append(
            table(
                "Operators on the CPU, shipped", named, [[one.kind, one.name, one.reason] for one in shipped.fallback]
            )
        )
    return tables


def _peak(caption: str, peak: PeakReport | None) -> list[Markup]:
    if peak is None:
        return []
    rows = [[one.name, quantity_text.size(one.bytes), "the network's input" * one.input] for one in peak.tensors]
    columns = (Column("tensor", False), Column("bytes"), Column("", False))
    return [table(f"{caption}: {peak.operator} {peak.name}", columns, rows)]


def _arena(board: MicrocontrollerReport) -> Markup:
    dense, shipped = board.dense.arena, board.shipped.arena
    rows = [
        _row(
            "activations",
            dense.nonpersistent_bytes,
            shipped.nonpersistent_bytes,
            "the same on a board",
            shipped.host_kind,
        ),
        *(
            _row(
                name, dense.by_kind[name].target_bytes if name in dense.by_kind else 0, one.target_bytes, one.arithmetic
            )
            for name, one in shipped.by_kind.items()
        ),
        _row(
            "scratch of CMSIS-NN",
            dense.scratch_bytes,
            shipped.scratch_bytes,
            "buffers at the peak, and their indices",
        ),
        _row("all", dense.arena_bytes, shipped.arena_bytes, "size that the firmware reserves"),
    ]
    return table("Tensor arena, with 32-bit pointers", _columns("calculation for the shipped model"), rows)


def _flash(board: MicrocontrollerReport) -> Markup:
    dense, shipped = board.dense.flash, board.shipped.flash
    rows = [
        _row("model", dense.file_bytes, shipped.file_bytes, "the file", "exact"),
        _row("golden vectors", dense.golden_bytes, shipped.golden_bytes, "inputs and outputs to compare with", "exact"),
        *(
            _row(name, dense.code.get(name, 0), shipped.code.get(name, 0), "code")
            for name in {**dense.code, **shipped.code}
        ),
        _row("all", dense.flash_bytes, shipped.flash_bytes, _band(shipped)),
    ]
    return table("Flash: the image of the firmware", _columns("content"), rows)


def _band(flash: FlashReport) -> str:
    return "" if flash.band_bytes is None else " to ".join(map(quantity_text.size, flash.band_bytes))


def _row(name: str, dense: int, shipped: int, explanation: str, provenance: str = "estimated") -> list[Content]:
    return [
        name.replace("_", " "),
        quantity_text.size(dense),
        quantity_text.size(shipped),
        explanation,
        kind(provenance),
    ]


def _columns(title: str) -> tuple[Column, ...]:
    return (
        Column("part", False),
        Column("dense"),
        Column("shipped"),
        Column(title, False),
        Column("provenance", False),
    )
