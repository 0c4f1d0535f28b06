"""Report of a network on a microcontroller in the manifest: RAM, flash, latency and TFLite Micro's outputs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgeprune.bundle.part import Part

_Count = Annotated[int, Field(ge=0)]
_Share = Annotated[float, Field(ge=0, le=1)]


class KindReport(Part):
    """Persistent allocations of one kind.

    Attributes:
        allocations: How many; 0 where only their bytes are known.
        host_bytes: On the host, with 64-bit pointers.
        target_bytes: With 32-bit pointers.
        arithmetic: How the one follows from the other.
    """

    allocations: _Count
    host_bytes: _Count
    target_bytes: _Count
    arithmetic: str


class ArenaReport(Part):
    """The tensor arena.

    Attributes:
        host_kind: Of what TFLite Micro's recording allocator counted on the host, which are the next three.
        total_bytes: On the host.
        nonpersistent_bytes: Of it activations and scratch; the same on a board.
        persistent_bytes: Of it what stays from the first inference to the last.
        by_kind: The persistent part.
        kind: Of what a board needs, which are the next three.
        restated_bytes: With 32-bit pointers: the nonpersistent bytes and ``target_bytes`` of each kind.
        scratch_bytes: Growth of the arena with CMSIS-NN's kernels.
        arena_bytes: Both together: what the firmware reserves.
    """

    host_kind: Literal["measured"] = "measured"
    total_bytes: _Count
    nonpersistent_bytes: _Count
    persistent_bytes: _Count
    by_kind: dict[str, KindReport]
    kind: Literal["estimated"] = "estimated"
    restated_bytes: _Count
    scratch_bytes: _Count
    arena_bytes: _Count


class AliveReport(Part):
    """A tensor that is in memory; ``input``: of the network, which pruning does not make smaller."""

    name: str
    bytes: _Count
    input: bool = False


class PeakReport(Part):
    """The operator while which most activations are alive: it sets the size of the arena.

    Attributes:
        operator: Of TFLite.
        name: Of the ONNX node it came from.
        tensors: What is alive, the largest first.
    """

    operator: str
    name: str
    tensors: tuple[AliveReport, ...]


class FlashReport(Part):
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
    file_bytes: _Count
    golden_bytes: _Count = 0
    code: dict[str, _Count]
    flash_bytes: _Count
    band_bytes: tuple[_Count, _Count] | None = None
    source: str


class FootprintReport(Part):
    """RAM and flash of one model file."""

    arena: ArenaReport
    peak: PeakReport
    flash: FlashReport


class LatencyEstimate(Part):
    """From multiply-adds, and cycles that the core was seen to take for one.

    Attributes:
        kind: Not measured.
        latency_ms: MACs x cycles / clock.
        low_ms: Lower end of the error band.
        high_ms: Upper end.
        macs: Of the shipped network.
        clock_mhz: Of the core.
        cycles_per_mac: Low, typical, high.
        source: Of the cycles.
    """

    kind: Literal["estimated"] = "estimated"
    latency_ms: float
    low_ms: float
    high_ms: float
    macs: _Count
    clock_mhz: _Count
    cycles_per_mac: tuple[float, float, float]
    source: str


class AgreementReport(Part):
    """TFLite Micro beside LiteRT, on the same samples; see ``edgeprune.backends.tflm.Agreement``."""

    top1_agreement: _Share | None
    worst_steps: _Count
    mean_steps: float
    samples: _Count
    kernels: str
    accuracy: _Share | None
    litert_accuracy: _Share | None


class MicrocontrollerReport(Part):
    """How a network does on a microcontroller.

    Attributes:
        dense: What the dense network would take, as int8.
        shipped: What the shipped file takes.
        limits: What the board has for a model, by cost name.
        latency: Of the shipped file.
        agreement: None for a file that is not quantized.
    """

    dense: FootprintReport
    shipped: FootprintReport
    limits: dict[str, _Count]
    latency: LatencyEstimate
    agreement: AgreementReport | None = None
