"""Part of a manifest about a microcontroller: RAM, flash, latency and the outputs of TFLite Micro."""

from __future__ import annotations

from typing import Literal

from edgeprune.bundle.schema_base import Count, Fraction, ManifestPart
from edgeprune.evidence import Evidence


class AllocationReport(ManifestPart):
    """Persistent allocations of one kind in the tensor arena.

    Attributes:
        allocations: Number of allocations; 0 if only their size is known.
        host_bytes: Size in bytes on the host, with 64-bit pointers.
        target_bytes: Size in bytes on the target, with 32-bit pointers.
        arithmetic: Formula for ``target_bytes`` from ``host_bytes``.
    """

    allocations: Count
    host_bytes: Count
    target_bytes: Count
    arithmetic: str


class ArenaReport(ManifestPart):
    """Size of TFLite Micro's tensor arena.

    Attributes:
        host_kind: Provenance of ``total_bytes``, ``nonpersistent_bytes`` and ``persistent_bytes``: measured by TFLite
            Micro's recording allocator on the host, or estimated by the compiler of an accelerator.
        total_bytes: Size of the arena on the host in bytes.
        nonpersistent_bytes: Size of activations and scratch buffers in bytes, which is the same on a board.
        persistent_bytes: Size of allocations that last for all inferences, in bytes on the host.
        by_kind: Persistent allocations by kind.
        kind: Provenance of ``restated_bytes``, ``scratch_bytes`` and ``arena_bytes``.
        restated_bytes: Size with 32-bit pointers in bytes: ``nonpersistent_bytes`` plus ``target_bytes`` of each kind.
        scratch_bytes: Growth of the arena in bytes due to the kernels of CMSIS-NN.
        arena_bytes: Size that the firmware reserves in bytes: ``restated_bytes`` plus ``scratch_bytes``.
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
    """A tensor in memory while the operator with the peak runs.

    Attributes:
        name: Name of the tensor.
        bytes: Size in bytes.
        input: Whether it is an input of the network, which pruning cannot shrink.
    """

    name: str
    bytes: Count
    input: bool = False


class PeakReport(ManifestPart):
    """Operator with the most live activations, which determines the size of the arena.

    Attributes:
        operator: Name of the TFLite operator.
        name: Name of the ONNX node that it was converted from.
        tensors: Live tensors, largest first.
    """

    operator: str
    name: str
    tensors: tuple[LiveTensorReport, ...]


class FlashReport(ManifestPart):
    """Flash for a network and its runtime.

    Attributes:
        kind: Provenance of the code size; the sizes of model and golden vectors are exact.
        file_bytes: Size of the model in bytes.
        golden_bytes: Size of the firmware's golden vectors in bytes; 0 in older bundles.
        code: Size in bytes of the interpreter, the C library, the firmware and the kernel of each operator, by name.
        flash_bytes: Size in bytes of the firmware image, built with the commands of its README.
        band_bytes: Lower and upper end of the error band of ``flash_bytes``, in bytes; None in older bundles.
        source: Source of the code sizes.
    """

    kind: Literal["estimated"] = "estimated"
    file_bytes: Count
    golden_bytes: Count = 0
    code: dict[str, Count]
    flash_bytes: Count
    band_bytes: tuple[Count, Count] | None = None
    source: str


class FallbackReport(ManifestPart):
    """An operator that runs on the CPU instead of the accelerator.

    Attributes:
        kind: Name of the TFLite operator.
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
        arena: Size of the tensor arena in RAM.
        peak: Operator with the most activations; None if a compiler places them and does not report it.
        flash: Flash for the network and its runtime.
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
        latency_ms: Latency of one inference in ms: cycles / clock, or MACs x cycles per MAC / clock.
        low_ms: Lower end of the error band in ms; None if the band is not known.
        high_ms: Upper end of the error band in ms; None if the band is not known.
        macs: Number of multiply-adds of the network.
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
    """Agreement of TFLite Micro with LiteRT on the same samples; see ``edgeprune.backends.agreement.Agreement``.

    Attributes:
        top1_agreement: Fraction of samples with the same class; None if outputs are not scores of classes.
        worst_steps: Largest difference of any output value, in quantization steps.
        mean_steps: Mean absolute difference, in quantization steps.
        samples: Number of compared samples.
        kernels: Kernels of LiteRT: ``reference``, or ``optimized`` if an operator has no reference kernel.
        accuracy: Fraction of correct labels with TFLite Micro; None without labels.
        litert_accuracy: Fraction of correct labels with LiteRT; None without labels.
    """

    top1_agreement: Fraction | None
    worst_steps: Count
    mean_steps: float
    samples: Count
    kernels: str
    accuracy: Fraction | None
    litert_accuracy: Fraction | None


class MicrocontrollerReport(ManifestPart):
    """Memory, latency and outputs of a network on a microcontroller.

    Attributes:
        dense: RAM and flash of the dense network as int8.
        shipped: RAM and flash of the shipped file.
        limits: Memory of the board that is available to a model, in bytes, by cost name.
        latency: Estimated latency of the shipped file.
        dense_latency: Estimated latency of the dense network; None in older bundles.
        agreement: Agreement with LiteRT; None for a file that is not quantized.
    """

    dense: FootprintReport
    shipped: FootprintReport
    limits: dict[str, Count]
    latency: LatencyEstimate
    dense_latency: LatencyEstimate | None = None
    agreement: AgreementReport | None = None
