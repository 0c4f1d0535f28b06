"""RAM and flash that a TFLite file needs on a microcontroller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeprune.backends.tflm import cmsis_nn
from edgeprune.backends.tflm.arena import Arena
from edgeprune.backends.tflm.code import BAND, SOURCE, code_bytes, golden_count
from edgeprune.backends.tflm.interpreter import Interpreter
from edgeprune.backends.tflm.lifetimes import Peak, peak
from edgeprune.evidence import Evidence
from edgeprune.tflite.tflite_file import operator_name, read, tensor_bytes


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


@dataclass(frozen=True)
class Footprint:
    """RAM and flash of one file.

    Attributes:
        arena: The tensor arena, as TFLite Micro's recording allocator counted it on the host or a compiler plans it.
        scratch_bytes: Estimated growth of the arena with CMSIS-NN's kernels, see ``cmsis_nn.arena_bytes``.
        peak: Where most activations are alive; None if a compiler places them and does not report it.
        file_bytes: Of the file.
        golden_bytes: Size of the golden vectors in the firmware.
        code: Estimated bytes of the image's other parts and of each operator's kernel, see ``code_bytes``.
        operators: How many of each there are.
        activation_source: Source of ``arena.nonpersistent_bytes``.
        activation_kind: Provenance of ``arena.nonpersistent_bytes``.
        code_source: Source of ``code``.
        compiler: Estimates of the compiler that made the file; None without one.
    """

    arena: Arena
    scratch_bytes: int
    peak: Peak | None
    file_bytes: int
    golden_bytes: int
    code: Mapping[str, int]
    operators: Mapping[str, int]
    activation_source: str = "as TensorFlow Lite Micro's allocator reports on the host"
    activation_kind: Evidence = "measured"
    code_source: str = SOURCE
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
        margin = round(BAND * sum(self.code.values()))
        return self.flash_bytes - margin, self.flash_bytes + margin

    @property
    def costs(self) -> dict[str, int]:
        """By the names that budgets have for them."""
        return {"arena_bytes": self.arena_bytes, "flash_bytes": self.flash_bytes}


def footprint(path: Path, arena: Arena | None = None) -> Footprint:
    """Load ``path`` into TFLite Micro and look; not again where ``arena`` is what it told.

    Raises:
        ModelError: TFLite Micro cannot run it.
    """
    model = read(path)
    graph = model.subgraphs[0]
    names = [operator_name(model, op) for op in graph.operators]
    input_bytes, output_bytes = (
        sum(tensor_bytes(graph.tensors[index]) for index in ends[:1]) for ends in (graph.inputs, graph.outputs)
    )
    return Footprint(
        arena=arena or Interpreter(path).arena(),
        scratch_bytes=cmsis_nn.arena_bytes(model),
        peak=peak(model),
        file_bytes=path.stat().st_size,
        golden_bytes=golden_count(input_bytes) * (input_bytes + output_bytes),
        code=code_bytes(names),
        operators={name: names.count(name) for name in sorted(set(names))},
    )
