"""Notes on a build for a microcontroller, for the terminal."""

from __future__ import annotations

from edgeprune.bundle.manifest import Manifest
from edgeprune.bundle.microcontroller_report import CompilerReport, LatencyEstimate, MicrocontrollerReport, PeakReport


def notes(manifest: Manifest) -> list[str]:
    """Return the notes below the table: peak of the arena, source of the latency, and outputs of TFLite Micro."""
    board = manifest.microcontroller
    if board is None:
        return []
    arena, flash = board.limits["arena_bytes"], board.limits["flash_bytes"]
    return [
        f"Arena and flash: {manifest.target} has {arena:,} and {flash:,} bytes for a model.",
        *_peak("dense", board.dense.peak),
        *_peak("shipped", board.shipped.peak),
        _latency(board.latency),
        *_fallback(board.shipped.compiler),
        *_agreement(board),
    ]


def _latency(latency: LatencyEstimate) -> str:
    clock, cycles = f"at {latency.clock_mhz} MHz", latency.cycles_per_mac
    if cycles is None or latency.low_ms is None or latency.high_ms is None:
        count = "" if latency.cycles is None else f", {latency.cycles:,} cycles {clock}"
        return f"Latency: {latency.latency_ms:.3g} ms{count} ({latency.source})."
    band = f"{latency.low_ms:.3g} to {latency.high_ms:.3g} ms"
    return f"Latency: {band}, {cycles[0]:g} to {cycles[2]:g} cycles for a MAC {clock}."


def _fallback(compiler: CompilerReport | None) -> list[str]:
    if compiler is None or not compiler.fallback:
        return []
    names = ", ".join(f"{one.kind} {one.name}" for one in compiler.fallback)
    return [f"Operators that {compiler.name} runs on the CPU: {names}."]


def _peak(network: str, peak: PeakReport | None) -> list[str]:
    if peak is None:
        return []
    tensors = ", ".join(f"{one.name}{' (the input)' * one.input} {one.bytes:,}" for one in peak.tensors)
    return [f"The arena's peak, {network}: {peak.operator} {peak.name} ({tensors})"]


def _agreement(board: MicrocontrollerReport) -> list[str]:
    agreement = board.agreement
    if agreement is None:
        return []
    agreeing = "" if agreement.top1_agreement is None else f"{agreement.top1_agreement:.2%}"
    same = f"same class as LiteRT for {agreeing} of " if agreeing else ""
    right = (
        ""
        if agreement.accuracy is None
        else f", accuracy {agreement.accuracy:.2%} (LiteRT {agreement.litert_accuracy:.2%})"
    )
    steps = f"at most {agreement.worst_steps} steps apart"
    return [f"TFLite Micro: {same}{agreement.samples} samples, {steps}{right}."]
