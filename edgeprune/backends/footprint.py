"""RAM and flash of a model file on a microcontroller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeprune.evidence import Evidence


@dataclass(frozen=True)
class AllocationKind:
    """Persistent allocations of the same kind.

    Attributes:
        allocations: Number of structures or buffers; 0 if only their bytes are known.
        host_bytes: Measured size on the host, with 64-bit pointers and alignment, in bytes.
        target_bytes: Estimated size with 32-bit pointers, in bytes: an upper bound.
        arithmetic: Derivation of ``target_bytes``.
    """

    allocations: int
    host_bytes: int
    target_bytes: int
    arithmetic: str


@dataclass(frozen=True)
class Arena:
    """Tensor arena of a model file.

    A board may use other kernels. The arena does not include the scratch buffers of CMSIS-NN's kernels.

    Attributes:
        total_bytes: Measured size on the host, in bytes.
        nonpersistent_bytes: Size of activations and scratch buffers, which may overlap, in bytes. They contain no
            pointers.
        persistent_bytes: Size of allocations that exist during all inferences, in bytes.
        by_kind: Persistent allocations by kind; ``other`` is the allocator itself, its planner and its lists.
    """

    total_bytes: int
    nonpersistent_bytes: int
    persistent_bytes: int
    by_kind: Mapping[str, AllocationKind]

    @property
    def restated_for_32_bit(self) -> int:
        """Bytes of the whole arena with 32-bit pointers: estimated, an upper bound for the same kernels."""
        return self.nonpersistent_bytes + sum(kind.target_bytes for kind in self.by_kind.values())


@dataclass(frozen=True)
class LiveTensor:
    """Tensor that occupies memory at a given time.

    Attributes:
        name: Name of the ONNX node that computes it, or of the input.
        bytes: Size in bytes.
        input: Whether it is an input of the network. Pruning does not make inputs smaller.
    """

    name: str
    bytes: int
    input: bool = False


@dataclass(frozen=True)
class Peak:
    """Operator at which the live activations are largest.

    Attributes:
        operator: TFLite operator.
        name: Name of its output.
        tensors: Live tensors, the largest first.
    """

    operator: str
    name: str
    tensors: tuple[LiveTensor, ...]

    @property
    def bytes(self) -> int:
        """Total size of ``tensors`` in bytes, without gaps that the planner may leave."""
        return sum(tensor.bytes for tensor in self.tensors)

    def __str__(self) -> str:
        listed = ", ".join(f"{tensor.name}{' (the input)' * tensor.input} {tensor.bytes:,}" for tensor in self.tensors)
        return f"{self.operator} {self.name} with {listed} bytes"


@dataclass(frozen=True)
class FallbackOperator:
    """Operator that runs on the CPU because the accelerator does not support it.

    Attributes:
        kind: TFLite operator.
        name: Name of its output.
        reason: Reason that the compiler gives; empty if it gives none.
    """

    kind: str
    name: str
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class CompilerEstimate:
    """Estimates of the compiler of an accelerator.

    Attributes:
        name: Name of the compiler.
        sram_bytes: SRAM for activations and buffers, in bytes.
        flash_bytes: Flash for weights and commands, in bytes.
        cycles: Cycles of one inference, without operators on the CPU.
        fallback: Operators that run on the CPU, in order.
    """

    name: str
    sram_bytes: int
    flash_bytes: int
    cycles: int
    fallback: tuple[FallbackOperator, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """RAM and flash of a model file.

    Attributes:
        arena: Arena as measured by a runtime on the host, or as planned by a compiler.
        scratch_bytes: Estimated growth of the arena with the kernels of the board.
        peak: Operator with the largest live activations; None if a compiler plans them and does not report it.
        file_bytes: Size of the file in bytes.
        golden_bytes: Size of the golden vectors in the firmware, in bytes.
        code: Estimated bytes of the image's other parts and of each operator's kernel, by name.
        operators: Number of operators of each kind.
        activation_source: Source of ``arena.nonpersistent_bytes``.
        activation_kind: Provenance of ``arena.nonpersistent_bytes``.
        code_source: Source of ``code``.
        code_error: Half the width of the error band of ``code``, as a fraction.
        compiler: Estimates of the compiler that wrote the file; None without a compiler.
    """

    arena: Arena
    scratch_bytes: int
    peak: Peak | None
    file_bytes: int
    golden_bytes: int
    code: Mapping[str, int]
    operators: Mapping[str, int]
    activation_source: str
    activation_kind: Evidence
    code_source: str
    code_error: float
    compiler: CompilerEstimate | None = None

    @property
    def arena_bytes(self) -> int:
        """Estimated arena size on a board in bytes: an upper bound without scratch buffers of ESP-NN."""
        return self.arena.restated_for_32_bit + self.scratch_bytes

    @property
    def flash_bytes(self) -> int:
        """Estimated size of the firmware image in bytes, if it is built as its README describes."""
        return self.file_bytes + self.golden_bytes + sum(self.code.values())

    @property
    def flash_band(self) -> tuple[int, int]:
        """Lower and upper end of the error band of ``flash_bytes``."""
        margin = round(self.code_error * sum(self.code.values()))
        return self.flash_bytes - margin, self.flash_bytes + margin

    @property
    def costs(self) -> dict[str, int]:
        """Costs by the metric names that budgets use."""
        return {"arena_bytes": self.arena_bytes, "flash_bytes": self.flash_bytes}
