"""Notes in the terminal on a build for a microcontroller."""

from __future__ import annotations

from edgeprune.bundle.manifest import Manifest
from edgeprune.bundle.microcontroller import MicrocontrollerReport, PeakReport


def notes(manifest: Manifest) -> list[str]:
    """Lines below the table: what sets the size of the arena, where latency comes from, what TFLite Micro computes."""
    board = manifest.microcontroller
    if board is None:
        return []
    arena, flash, latency = board.limits["arena_bytes"], board.limits["flash_bytes"], board.latency
    band, cycles = f"{latency.low_ms:.3g} to {latency.high_ms:.3g} ms", latency.cycles_per_mac
    return [
        f"Arena and flash: of {arena:,} and {flash:,} bytes that {manifest.target} has for a model.",
        f"The arena's peak, dense: {_peak(board.dense.peak)}",
        f"The arena's peak, shipped: {_peak(board.shipped.peak)}",
        f"Latency: {band}, {cycles[0]:g} to {cycles[2]:g} cycles for a MAC at {latency.clock_mhz} MHz.",
        *_agreement(board),
    ]


def _peak(peak: PeakReport) -> str:
    shown = ", ".join(f"{one.name}{' (the input)' * one.input} {one.bytes:,}" for one in peak.tensors)
    return f"{peak.operator} {peak.name} ({shown})"


def _agreement(board: MicrocontrollerReport) -> list[str]:
    found = board.agreement
    if found is None:
        return []
    agreeing = "" if found.top1_agreement is None else f"{found.top1_agreement:.2%}"
    same = f"the class of LiteRT for {agreeing} of the labels of " if agreeing else ""
    right = "" if found.accuracy is None else f", accuracy {found.accuracy:.2%} (LiteRT {found.litert_accuracy:.2%})"
    steps = f"at most {found.worst_steps} steps apart"
    return [f"TFLite Micro: {same}{found.samples} samples, {steps}{right}."]
