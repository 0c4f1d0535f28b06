"""Report of a network on a microcontroller in the manifest: RAM, flash, latency and TFLite Micro's outputs."""

from __future__ import annotations

from typing import Literal

from edgeprune.bundle.schema_base import Count, ManifestPart, Share
from edgeprune.evidence import Evidence


class AllocationReport(ManifestPart):
    """Persistent allocations of one kind.

    Attributes:
        allocations: How many; 0 where only their bytes are known.
        host_bytes: On the host, with 64-bit pointers.
        target_bytes: With 32-bit pointers.
        arithmetic: How the one follows from the other.
    """

    allocations: Count
    host_bytes: Count
    target_bytes: Count
    arithmetic: str


class ArenaReport(ManifestPart):
    """The tensor arena.

    Attributes:
        host_kind: Provenance of the next three: TFLite Micro's recording allocator on the host measures them, the
            compiler of an accelerator estimates them.
        total_bytes: On the host.
        nonpersistent_bytes: Of it activations and scratch; the same on a board.
        persistent_bytes: Of it what stays from the first inference to the last.
        by_kind: The persistent part.
        kind: Of what a board needs, which are the next three.
        restated_bytes: With 32-bit pointers: the nonpersistent bytes and ``target_bytes`` of each kind.
        scratch_bytes: Growth of the arena with CMSIS-NN's kernels.
        arena_bytes: Both together: what the firmware reserves.
    """

    host_kind: Evidence = "measured"
    total_bytes: Count
    nonpersistent_bytes: Count
    persistent_bytes: Count
    by_kind: dict[str, AllocationReport]
    kind: Literal["estimated"] = "estimated"
    restated_bytes: Count
    scratch_bytes: Count
    arena_bytes: Count


class LiveTensorReport(ManifestPart):
    """A tensor that is in memory; ``input``: of the network, which pruning does not make smaller."""

    name: str
    bytes: Count
    input: bool = False


class PeakReport(ManifestPart):
    """The operator while which most activations are alive: it sets the size of the arena.

    Attributes:
        operator: Of TFLite.
        name: Of the ONNX node it came from.
        tensors: What is alive, the largest first.
    """

    operator: str
    name: str
    tensors: tuple[LiveTensorReport, ...]


class FlashReport(ManifestPart):
    """Flash of a network and its runtime.

    Attributes:
        kind: Provenance of the code size; model and golden vectors are exact.
        file_bytes: The model.
        golden_bytes: Golden vectors of the firmware; 0 in older bundles.
        code: The interpreter, the C library, the firmware and the kernel of each operator.
        flash_bytes: The image of the firmware, built as its README says.
        band_bytes: Error band of ``flash_bytes``; None in older bundles.
        source: Of the figures for code.
    """

    kind: Literal["estimated"] = "estimated"
    file_bytes: Count
    golden_bytes: Count = 0
    code: dict[str, Count]
    flash_bytes: Count
    band_bytes: tuple[Count, Count] | None = None
    source: str


class FallbackReport(ManifestPart):
    """An operator that an accelerator leaves to the CPU.

    Attributes:
        kind: TFLite operator.
        name: Name of its output.
        reason: Reason that the compiler gives; empty if it gives none.
    """

    kind: str
    name: str
    reason: str = ""


class CompilerReport(ManifestPart):
    """Estimates of the compiler of an accelerator.

    Attributes:
        kind: Provenance of the figures.
        name: Name of the compiler.
        sram_bytes: SRAM for activations and buffers, in bytes.
        flash_bytes: Flash for weights and commands, in bytes.
        cycles: Cycles of one inference, without operators on the CPU.
        fallback: Operators that run on the CPU, in order.
    """

    kind: Literal["estimated"] = "estimated"
    name: str
    sram_bytes: Count
    flash_bytes: Count
    cycles: Count
    fallback: tuple[FallbackReport, ...] = ()


class FootprintReport(ManifestPart):
    """RAM and flash of one model file.

    Attributes:
        arena: RAM.
        peak: Operator with the most activations; None if a compiler places them and does not report it.
        flash: Flash.
        compiler: Estimates of the compiler of an accelerator; None without one.
    """

    arena: ArenaReport
    peak: PeakReport | None = None
    flash: FlashReport
    compiler: CompilerReport | None = None


class LatencyEstimate(ManifestPart):
    """Estimated latency; see ``edgeprune.backends.latency_estimate.LatencyEstimate``.

    Attributes:
        kind: Provenance of the latency.
        latency_ms: Cycles / clock, or MACs x cycles of one / clock.
        low_ms: Lower end of the error band; None if the band is not known.
        high_ms: Upper end of the error band; None if the band is not known.
        macs: Multiply-adds of the network.
        clock_mhz: Clock of the processor in MHz.
        cycles: Cycles of one inference, if the estimate is based on them; else None.
        cycles_per_mac: Low, typical and high cycles of one multiply-add, if the estimate is based on them; else None.
        source: Source of the cycles.
    """

    kind: Literal["estimated"] = "estimated"
    latency_ms: float
    low_ms: float | None = None
    high_ms: float | None = None
    macs: Count
    clock_mhz: Count
    cycles: Count | None = None
    cycles_per_mac: tuple[float, float, float] | None = None
    source: str


class AgreementReport(ManifestPart):
    """TFLite Micro beside LiteRT, on the same samples; see ``edgeprune.backends.agreement.Agreement``."""

    top1_agreement: Share | None
    worst_steps: Count
    mean_steps: float
    samples: Count
    kernels: str
    accuracy: Share | None
    litert_accuracy: Share | None


class MicrocontrollerReport(ManifestPart):
    """How a network does on a microcontroller.

    Attributes:
        dense: What the dense network would take, as int8.
        shipped: What the shipped file takes.
        limits: What the board has for a model, by cost name.
        latency: Of the shipped file.
        dense_latency: The same of the dense network; None in older bundles.
        agreement: None for a file that is not quantized.
    """

    dense: FootprintReport
    shipped: FootprintReport
    limits: dict[str, Count]
    latency: LatencyEstimate
    dense_latency: LatencyEstimate | None = None
    agreement: AgreementReport | None = None
