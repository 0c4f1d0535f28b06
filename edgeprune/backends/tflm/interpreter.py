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
"""Bytes of an element: more than any activation needs, with the scratch buffer of its kernel."""
_MOST_ARENA_BYTES = 1 << 31


class Interpreter(TfliteRuntime):
    """TFLite file that TFLite Micro has loaded.

    Args:
        path: Path of the file.
        inputs: Inputs, in order; None to read them from the file, see ``input_ports``.
        outputs: Outputs, in order; None to read them from the file, see ``output_ports``.
        sandboxed: Whether this process runs nothing else, so that a crash of TFLite Micro does no harm.

    Raises:
        ModelError: LiteRT cannot load the file (not checked if ``sandboxed``), its weights are outside the flatbuffer,
            or TFLite Micro cannot run it.
    """

    name = "TFLite Micro"

    def __init__(
        self,
        path: Path,
        inputs: Sequence[Port] | None = None,
        outputs: Sequence[Port] | None = None,
        *,
        sandboxed: bool = False,
    ) -> None:
        with extras.required("mcu"):
            from tflite_micro.python.tflite_micro import runtime

        if not sandboxed:
            LiteRTSession(path, kernels="optimized")  # checks shapes that TFLite Micro believes
        model, content = read(path), path.read_bytes()
        _check_buffers(content, path)
        arena_bytes = _arena_size(model, content)
        if arena_bytes > _MOST_ARENA_BYTES:
            raise ModelError(
                f"TFLite Micro cannot run {path}: its tensors may need {arena_bytes:,} bytes, but the limit is "
                f"{_MOST_ARENA_BYTES:,}"
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
        """Return the arena as reported by the recording allocator."""
        with captured(2) as printed:
            self._interpreter.print_allocations()
        return arena.parsed(printed.text)


def predictor(path: Path) -> Callable[[Inputs], list[Array]]:
    """Load ``path`` and return a function of inputs (N, ...) that returns each output (N, ...), sample by sample."""
    return Interpreter(path).predict


def evaluate(path: Path, split: Split, *, samples: int | None = None, progress: Progress = SILENT) -> Accuracy:
    """Load ``path`` and evaluate it on the first ``samples`` of ``split`` with the slow reference kernels."""
    return Interpreter(path).evaluate(split, samples=samples, progress=progress)


def _check_buffers(content: bytes, path: Path) -> None:
    stored = schema.Model.GetRootAs(content)
    outside_count = sum(stored.Buffers(index).Offset() > 1 for index in range(stored.BuffersLength()))
    if outside_count:
        raise ModelError(
            f"{path}: {outside_count} buffers are stored after the flatbuffer, where TFLite Micro does not read them: "
            "write the file again with edgeprune.tflite.tflite_file.pack"
        )


def _arena_size(model: schema.ModelT, content: bytes) -> int:
    """Upper bound of the arena size: activations do not overlap, and data of weights is as large as the weights."""
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
