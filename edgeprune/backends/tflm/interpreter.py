"""The interpreter of TFLite Micro, with the reference kernels of its Python package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeprune import extras
from edgeprune.backends.accuracy import Accuracy
from edgeprune.backends.batching import Array, Inputs
from edgeprune.backends.footprint import Arena
from edgeprune.backends.litert.litert_session import LiteRTSession
from edgeprune.backends.tflite_runtime import TfliteRuntime
from edgeprune.backends.tflm import arena
from edgeprune.errors import ModelError
from edgeprune.export.output_capture import captured
from edgeprune.progress import SILENT, Progress
from edgeprune.tflite.tflite_file import Port, input_ports, output_ports, read
from edgeprune.tflite.tflite_schema import schema

if TYPE_CHECKING:
    from edgeprune.model.splits import Split

_SPARE_BYTES = 1 << 20
_ELEMENT_BYTES = 8
"""More than any activation has, with the scratch of its kernel."""
_MOST_ARENA_BYTES = 1 << 31


class Interpreter(TfliteRuntime):
    """A loaded file.

    Args:
        path: Of the file.
        inputs: Its inputs, in order; None: as the file states, see ``input_ports``.
        outputs: Its outputs, the same.
        alone: Nothing else is in this process: a file that makes TFLite Micro crash may do so.

    Raises:
        ModelError: LiteRT cannot load it (which is not asked where it is ``alone``), it has weights outside the
            flatbuffer, or TFLite Micro cannot run it.
    """

    name = "TFLite Micro"

    def __init__(
        self,
        path: Path,
        inputs: Sequence[Port] | None = None,
        outputs: Sequence[Port] | None = None,
        *,
        alone: bool = False,
    ) -> None:
        with extras.required("mcu"):
            from tflite_micro.python.tflite_micro import runtime

        if not alone:
            LiteRTSession(path, kernels="optimized")  # checks shapes that TFLite Micro believes
        model, content = read(path), path.read_bytes()
        _check_buffers(content, path)
        arena_bytes = _arena_size(model, content)
        if arena_bytes > _MOST_ARENA_BYTES:
            raise ModelError(
                f"TFLite Micro cannot run {path}: its tensors may take {arena_bytes:,} bytes; no microcontroller "
                f"has {_MOST_ARENA_BYTES:,}"
            )
        try:
            with captured(2) as printed:
                self._interpreter = runtime.Interpreter.from_bytes(content, arena_size=arena_bytes)
        except (MemoryError, RuntimeError) as problem:
            raise ModelError(f"TFLite Micro cannot run {path}: {_message(printed.text, problem)}") from problem
        super().__init__(path, inputs or input_ports(model), outputs or output_ports(model))

    def run_stored(self, inputs: Sequence[Array]) -> list[Array]:
        try:
            with captured(2) as printed:
                for index, values in enumerate(inputs):
                    self._interpreter.set_input(values, index)
                self._interpreter.invoke()
        except (RuntimeError, ValueError) as problem:
            raise self._failure(_message(printed.text, problem)) from problem
        return [np.array(self._interpreter.get_output(index)) for index in range(len(self.outputs))]

    def arena(self) -> Arena:
        """Arena as counted by its recording allocator."""
        with captured(2) as printed:
            self._interpreter.print_allocations()
        return arena.parsed(printed.text)


def predictor(path: Path) -> Callable[[Inputs], list[Array]]:
    """Load ``path``; what is given inputs (N, ...) and gives each output (N, ...), one sample after the other."""
    return Interpreter(path).predict


def evaluate(path: Path, split: Split, *, samples: int | None = None, progress: Progress = SILENT) -> Accuracy:
    """Load ``path`` and take its accuracy on the first ``samples`` of ``split``; the kernels are plain, and slow."""
    return Interpreter(path).evaluate(split, samples=samples, progress=progress)


def _check_buffers(content: bytes, path: Path) -> None:
    stored = schema.Model.GetRootAs(content)
    outside = sum(stored.Buffers(index).Offset() > 1 for index in range(stored.BuffersLength()))
    if outside:
        raise ModelError(
            f"{path}: {outside} buffers lie behind the flatbuffer, where TFLite Micro does not look; "
            "write it anew with edgeprune.tflite.tflite_file.pack"
        )


def _arena_size(model: schema.ModelT, content: bytes) -> int:
    """More than any file needs: no activation overlaps, and what is kept for weights is as large as they are."""
    elements = sum(
        prod(int(size) for size in tensor.shape)
        for graph in model.subgraphs
        for tensor in graph.tensors
        if tensor.shape is not None and model.buffers[tensor.buffer].data is None
    )
    return _SPARE_BYTES + len(content) + _ELEMENT_BYTES * elements


def _message(printed: str, problem: Exception) -> str:
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    return "; ".join([*lines, str(problem)])
