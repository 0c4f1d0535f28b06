"""Notes in the terminal on a build for a microcontroller."""

from __future__ import annotations

from edgeprune.bundle.manifest import Manifest
from edgeprune.bundle.microcontroller_report import CompilerReport, LatencyEstimate, MicrocontrollerReport, PeakReport


def notes(manifest: Manifest) -> list[str]:
    """Lines below the table: what sets the size of the arena, where latency comes from, what TFLite Micro computes."""
    board = manifest.microcontroller
    if board is None:
        return []
    arena, flash = board.limits["arena_bytes"], board.limits["flash_bytes"]
    return [
        f"Arena and flash: of {arena:,} and {flash:,} bytes that {manifest.target} has for a model.",
        *_peak("dense", board.dense.peak),
        *_peak("shipped", board.shipped.peak),
        _latency(board.latency),
        *_fallback(board.shipped.compiler),
        *_agreement(board),
    ]


def _latency(found: LatencyEstimate) -> str:
    clock, cycles = f"at {found.clock_mhz} MHz", found.cycles_per_mac
    if cycles is None or found.low_ms is None or found.high_ms is None:
        count = "" if found.cycles is None else f", {found.cycles:,} cycles {clock}"
        return f"Latency: {found.latency_ms:.3g} ms{count} ({found.source})."
    band = f"{found.low_ms:.3g} to {found.high_ms:.3g} ms"
    return f"Latency: {band}, {cycles[0]:g} to {cycles[2]:g} cycles for a MAC {clock}."


def _fallback(compiler: CompilerReport | None) -> list[str]:
    if compiler is None or not compiler.fallback:
        return []
    names = ", ".join(f"{one.kind} {one.name}" for one in compiler.fallback)
    return [f"{compiler.name} leaves these operators to the CPU: {names}."]


def _peak(network: str, peak: PeakReport | None) -> list[str]:
    if peak is None:
        return []
    shown = ", ".join(f"{one.name}{' (the input)' * one.input} {one.bytes:,}" for one in peak.tensors)
    return [f"The arena's peak, {network}: {peak.operator} {peak.name} ({shown})"]


def _agreement(board: MicrocontrollerReport) -> list[str]:
    found = board.agreement
    if found is None:
        return []
    agreeing = "" if found.top1_agreement is None else f"{found.top1_agreement:.2%}"
    same = f"the class of LiteRT for {agreeing} of the labels of " if agreeing else ""
    right = "" if found.accuracy is None else f", accuracy {found.accuracy:.2%} (LiteRT {found.litert_accuracy:.2%})"
    steps = f"at most {found.worst_steps} steps apart"
    return [f"TFLite Micro: {same}{found.samples} samples, {steps}{right}."]
