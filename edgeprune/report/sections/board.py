"""What a microcontroller needs for the network: RAM, flash and time, nearly all of it estimated."""

from __future__ import annotations

from edgeprune.bundle.microcontroller import AgreementReport, FootprintReport, LatencyEstimate, PeakReport
from edgeprune.report import text
from edgeprune.report.markup import Content, element
from edgeprune.report.parts import Column, Section, Source, folded, kind, paragraph, table, terms


def section(source: Source) -> Section | None:
    """Nothing for a target that is no microcontroller."""
    board = source.manifest.microcontroller
    if board is None:
        return None
    pairs: list[tuple[Content, Content]] = [
        ("latency", _latency(board.latency)),
        ("arena's peak, dense", _peak(board.dense.peak)),
        ("arena's peak, shipped", _peak(board.shipped.peak)),
        ("TFLite Micro", None if board.agreement is None else _agreement(source, board.agreement)),
    ]
    body = [
        paragraph(f"What {source.manifest.target} has for a model, and what the model takes of it.", look="lede"),
        _fit(board.dense, board.shipped, board.limits),
        terms(pairs),
        folded("The arena by kind", _arena(board.shipped)),
        folded("The flash by part", _flash(board.shipped)),
    ]
    return Section("board", "On the board", body)


def _fit(dense: FootprintReport, shipped: FootprintReport, limits: dict[str, int]) -> Content:
    columns = (
        Column("of the board", False),
        *map(Column, ("dense", "shipped", "the board has", "left")),
        Column("from", False),
    )
    takes = {
        "arena": ("arena_bytes", dense.arena.arena_bytes, shipped.arena.arena_bytes),
        "flash": ("flash_bytes", dense.flash.flash_bytes, shipped.flash.flash_bytes),
    }
    rows = [
        [name, *map(text.size, (before, after, limits[cost], limits[cost] - after)), kind("estimated")]
        for name, (cost, before, after) in takes.items()
    ]
    return table("Arena and flash", columns, rows)


def _latency(found: LatencyEstimate) -> Content:
    low, typical, high = found.cycles_per_mac
    return [
        f"{text.milliseconds(found.latency_ms)}, in a band from {found.low_ms:.3g} to {found.high_ms:.3g} ms: ",
        f"{text.count(found.macs)} multiply-adds of {typical:g} cycles ({low:g} to {high:g}) at {found.clock_mhz} MHz ",
        kind(found.kind),
        element("br"),
        found.source,
    ]


def _peak(found: PeakReport) -> Content:
    alive = ", ".join(f"{one.name}{' (the input)' * one.input} {text.size(one.bytes)}" for one in found.tensors)
    return f"{found.operator} {found.name}: {alive}"


def _agreement(source: Source, found: AgreementReport) -> Content:
    same = "" if found.top1_agreement is None else f"the class of LiteRT for {text.percent(found.top1_agreement)} of "
    right = "" if found.accuracy is None else f"; {source.manifest.metric} {source.accuracy(found.accuracy)}"
    return [f"{same}{found.samples:,} samples, at most {found.worst_steps} int8 steps apart{right} ", kind("measured")]


def _arena(found: FootprintReport) -> Content:
    arena = found.arena
    columns = (Column("kind", False), *map(Column, ("host", "32-bit pointers")), Column("how", False))
    activations = text.size(arena.nonpersistent_bytes)
    rows: list[list[Content]] = [["activations and scratch", activations, activations, "the same on a board"]]
    rows += [
        [name.replace("_", " "), text.size(one.host_bytes), text.size(one.target_bytes), one.arithmetic]
        for name, one in arena.by_kind.items()
    ]
    rows += [
        ["scratch of CMSIS-NN", "", text.size(arena.scratch_bytes), "the most that its kernels ask for on top"],
        ["all", text.size(arena.total_bytes), text.size(arena.arena_bytes), "what the firmware reserves"],
    ]
    return table("The arena by kind: measured on the host, estimated for 32-bit pointers", columns, rows)


def _flash(found: FootprintReport) -> Content:
    flash = found.flash
    rows: list[list[Content]] = [["the model file", text.size(flash.file_bytes), kind("exact")]]
    rows += [[name, text.size(size), kind("estimated")] for name, size in flash.code.items()]
    columns = (Column("part", False), Column("bytes"), Column("from", False))
    return [table("The flash by part", columns, rows), paragraph(flash.source, look="note")]
