"""What a network takes of a microcontroller: its arena by parts, what sets the peak, and its flash."""

from __future__ import annotations

from collections.abc import Sequence

from edgeprune.bundle.microcontroller import MicrocontrollerReport, PeakReport
from edgeprune.report import board, text
from edgeprune.report.markup import Content
from edgeprune.report.parts import Column, Source, kind, paragraph, table


def told(source: Source) -> Content:
    """Nothing for another target."""
    found = source.manifest.microcontroller
    if found is None:
        return []
    return [
        _arena(found),
        *(
            _peak(f"Alive at the arena's peak, {name}", side.peak)
            for name, side in (("dense", found.dense), ("shipped", found.shipped))
        ),
        _flash(found),
        [paragraph(line, look="note") for line in board.notes(source.manifest)],
    ]


def _arena(found: MicrocontrollerReport) -> Content:
    sides = found.dense.arena, found.shipped.arena
    kinds = list(dict.fromkeys(name for side in sides for name in side.by_kind))
    rows = [
        _row("activations", [side.nonpersistent_bytes for side in sides], "measured"),
        *(
            _row(name, [side.by_kind[name].target_bytes if name in side.by_kind else 0 for side in sides])
            for name in kinds
        ),
        _row("scratch of CMSIS-NN", [side.scratch_bytes for side in sides]),
        _row("all", [side.arena_bytes for side in sides]),
    ]
    return table("Tensor arena, with 32-bit pointers", _columns("part"), rows)


def _peak(caption: str, peak: PeakReport) -> Content:
    rows = [[one.name, text.size(one.bytes), "the network's input" * one.input] for one in peak.tensors]
    columns = (Column("tensor", False), Column("bytes"), Column("", False))
    return table(f"{caption}: {peak.operator} {peak.name}", columns, rows)


def _flash(found: MicrocontrollerReport) -> Content:
    sides = found.dense.flash, found.shipped.flash
    names = list(dict.fromkeys(name for side in sides for name in side.code))
    rows = [
        _row("model", [side.file_bytes for side in sides], "exact"),
        *(_row(name, [side.code.get(name, 0) for side in sides]) for name in names),
        _row("all", [side.flash_bytes for side in sides]),
    ]
    return table("Flash: the model, TFLite Micro and its kernels", _columns("part"), rows)


def _row(name: str, sizes: Sequence[int], found: str = "estimated") -> list[Content]:
    return [name, *map(text.size, sizes), kind(found)]


def _columns(first: str) -> tuple[Column, ...]:
    return Column(first, False), Column("dense"), Column("shipped"), Column("from", False)
