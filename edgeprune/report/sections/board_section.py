"""Section on a microcontroller: RAM, flash and time, available and used."""

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
    """Nothing for a target that is no microcontroller."""
    found = source.manifest.microcontroller
    if found is None:
        return None
    pairs: list[tuple[Content, Content]] = [
        ("latency", _latency(found.latency)),
        ("TFLite Micro", None if found.agreement is None else _agreement(source, found.agreement)),
    ]
    body = [
        paragraph(f"What {source.manifest.target} has for a model, and what the model takes of it.", look="lede"),
        _fit(found),
        terms(pairs),
        *_compilers(found.dense.compiler, found.shipped.compiler),
        *_peak("Alive at the arena's peak, dense", found.dense.peak),
        *_peak("Alive at the arena's peak, shipped", found.shipped.peak),
        folded("The arena by part", _arena(found)),
        folded("The flash by part", [_flash(found), paragraph(found.shipped.flash.source, look="note")]),
    ]
    return Section("board", "On the board", body)


def _fit(found: MicrocontrollerReport) -> Markup:
    columns = (
        Column("of the board", False),
        *map(Column, ("dense", "shipped", "it has", "left")),
        Column("from", False),
    )
    takes = {
        "arena": ("arena_bytes", found.dense.arena.arena_bytes, found.shipped.arena.arena_bytes),
        "flash": ("flash_bytes", found.dense.flash.flash_bytes, found.shipped.flash.flash_bytes),
    }
    rows: list[list[Content]] = []
    for name, (cost, before, after) in takes.items():
        has = found.limits.get(cost)
        room = ("–", "–") if has is None else (quantity_text.size(has), quantity_text.size(has - after))
        rows.append([name, quantity_text.size(before), quantity_text.size(after), *room, kind("estimated")])
    return table("Arena and flash", columns, rows)


def _latency(found: LatencyEstimate) -> Content:
    clock = f"at {found.clock_mhz} MHz "
    if found.cycles_per_mac is None:
        cycles = [] if found.cycles is None else [f": {found.cycles:,} cycles {clock}"]
        figures = [quantity_text.milliseconds(found.latency_ms), *cycles]
    else:
        low, typical, high = found.cycles_per_mac
        figures = [
            f"{quantity_text.milliseconds(found.latency_ms)}{_latency_band(found)}: ",
            f"{quantity_text.count(found.macs)} multiply-adds of {typical:g} cycles ({low:g} to {high:g}) {clock}",
        ]
    return [
        *figures,
        kind(found.kind),
        element("br"),
        found.source,
    ]


def _latency_band(found: LatencyEstimate) -> str:
    if found.low_ms is None or found.high_ms is None:
        return ""
    return f", in a band from {found.low_ms:.3g} to {found.high_ms:.3g} ms"


def _agreement(source: ReportSource, found: AgreementReport) -> Content:
    agreeing = "" if found.top1_agreement is None else quantity_text.percent(found.top1_agreement)
    same = f"the class of LiteRT for {agreeing} of the labels of " if agreeing else ""
    right = "" if found.accuracy is None else f"; {source.manifest.metric} {source.accuracy(found.accuracy)}"
    return [f"{same}{found.samples:,} samples, at most {found.worst_steps} int8 steps apart{right} ", kind("measured")]


def _compilers(dense: CompilerReport | None, shipped: CompilerReport | None) -> list[Markup]:
    """Estimates of an accelerator's compiler, and the operators that it leaves to the CPU; empty without a compiler."""
    if dense is None or shipped is None:
        return []
    rows: list[list[Content]] = [
        ["SRAM", quantity_text.size(dense.sram_bytes), quantity_text.size(shipped.sram_bytes), kind(shipped.kind)],
        ["flash", quantity_text.size(dense.flash_bytes), quantity_text.size(shipped.flash_bytes), kind(shipped.kind)],
        ["cycles", f"{dense.cycles:,}", f"{shipped.cycles:,}", kind(shipped.kind)],
    ]
    columns = (Column("figure", False), Column("dense"), Column("shipped"), Column("from", False))
    found = [table(f"Estimates of {shipped.name}", columns, rows)]
    if shipped.fallback:
        named = (Column("operator", False), Column("output", False), Column("reason", False))
        found.append(
            table(
                "Operators on the CPU, shipped", named, [[one.kind, one.name, one.reason] for one in shipped.fallback]
            )
        )
    return found


def _peak(caption: str, peak: PeakReport | None) -> list[Markup]:
    if peak is None:
        return []
    rows = [[one.name, quantity_text.size(one.bytes), "the network's input" * one.input] for one in peak.tensors]
    columns = (Column("tensor", False), Column("bytes"), Column("", False))
    return [table(f"{caption}: {peak.operator} {peak.name}", columns, rows)]


def _arena(found: MicrocontrollerReport) -> Markup:
    dense, shipped = found.dense.arena, found.shipped.arena
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
        _row("all", dense.arena_bytes, shipped.arena_bytes, "what the firmware reserves"),
    ]
    return table("Tensor arena, with 32-bit pointers", _columns("how the shipped one follows from the host's"), rows)


def _flash(found: MicrocontrollerReport) -> Markup:
    dense, shipped = found.dense.flash, found.shipped.flash
    rows = [
        _row("model", dense.file_bytes, shipped.file_bytes, "the file", "exact"),
        _row("golden vectors", dense.golden_bytes, shipped.golden_bytes, "inputs and outputs to compare with", "exact"),
        *(
            _row(name, dense.code.get(name, 0), shipped.code.get(name, 0), "code")
            for name in {**dense.code, **shipped.code}
        ),
        _row("all", dense.flash_bytes, shipped.flash_bytes, _band(shipped)),
    ]
    return table("Flash: the image of the firmware", _columns("what"), rows)


def _band(flash: FlashReport) -> str:
    return "" if flash.band_bytes is None else " to ".join(map(quantity_text.size, flash.band_bytes))


def _row(name: str, dense: int, shipped: int, explanation: str, found: str = "estimated") -> list[Content]:
    return [name.replace("_", " "), quantity_text.size(dense), quantity_text.size(shipped), explanation, kind(found)]


def _columns(title: str) -> tuple[Column, ...]:
    return (Column("part", False), Column("dense"), Column("shipped"), Column(title, False), Column("from", False))
