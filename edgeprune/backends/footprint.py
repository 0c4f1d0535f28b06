"""RAM and flash of a model file on a microcontroller, whichever backend computes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeprune.evidence import Evidence


@dataclass(frozen=True)
class AllocationKind:
    """Persistent allocations of one kind.

    Attributes:
        allocations: How many structures or buffers; 0 where only their bytes are known.
        host_bytes: On the host, with 64-bit pointers, alignment included: measured.
        target_bytes: With 32-bit pointers: estimated, an upper bound.
        arithmetic: How ``target_bytes`` came about.
    """

    allocations: int
    host_bytes: int
    target_bytes: int
    arithmetic: str


@dataclass(frozen=True)
class Arena:
    """The tensor arena of one file.

    On a board the kernels may be others: those of CMSIS-NN ask for scratch buffers that are not in here.

    Attributes:
        total_bytes: On the host: measured.
        nonpersistent_bytes: Activations and scratch, planned to overlap; they hold no pointers.
        persistent_bytes: What stays from the first inference to the last.
        by_kind: The persistent part; ``other`` is the allocator itself, its planner and its lists.
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
    """A tensor that is in memory.

    Attributes:
        name: Of the ONNX node that makes it, or of the input.
        bytes: It takes.
        input: It is an input of the network, which nothing that is pruned makes smaller.
    """

    name: str
    bytes: int
    input: bool = False


@dataclass(frozen=True)
class Peak:
    """The operator while which most bytes of activations are alive.

    Attributes:
        operator: Its TFLite operator.
        name: Of what it writes.
        tensors: What is alive then, the largest first.
    """

    operator: str
    name: str
    tensors: tuple[LiveTensor, ...]

    @property
    def bytes(self) -> int:
        """Bytes of all of them; the planner may leave gaps between."""
        return sum(tensor.bytes for tensor in self.tensors)

    def __str__(self) -> str:
        shown = ", ".join(f"{one.name}{' (the input)' * one.input} {one.bytes:,}" for one in self.tensors)
        return f"{self.operator} {self.name} with {shown} bytes"


@dataclass(frozen=True)
class FallbackOperator:
    """An operator that an accelerator leaves to the CPU.

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
    """RAM and flash of one file.

    Attributes:
        arena: The arena, as a runtime counted it on the host or a compiler plans it.
        scratch_bytes: Estimated growth of the arena with the kernels of the board.
        peak: Where most activations are alive; None if a compiler places them and does not report it.
        file_bytes: Of the file.
        golden_bytes: Size of the golden vectors in the firmware.
        code: Estimated bytes of the image's other parts and of each operator's kernel, by name.
        operators: How many of each there are.
        activation_source: Source of ``arena.nonpersistent_bytes``.
        activation_kind: Provenance of ``arena.nonpersistent_bytes``.
        code_source: Source of ``code``.
        code_error: Half the width of the error band of ``code``, as a fraction.
        compiler: Estimates of the compiler that made the file; None without one.
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
        """That an arena on a board needs: estimated, an upper bound but for what ESP-NN asks for."""
        return self.arena.restated_for_32_bit + self.scratch_bytes

    @property
    def flash_bytes(self) -> int:
        """Bytes of the image, built as the firmware's README says: estimated."""
        return self.file_bytes + self.golden_bytes + sum(self.code.values())

    @property
    def flash_band(self) -> tuple[int, int]:
        """Error band of ``flash_bytes``."""
        margin = round(self.code_error * sum(self.code.values()))
        return self.flash_bytes - margin, self.flash_bytes + margin

    @property
    def costs(self) -> dict[str, int]:
        """By the names that budgets have for them."""
        return {"arena_bytes": self.arena_bytes, "flash_bytes": self.flash_bytes}
