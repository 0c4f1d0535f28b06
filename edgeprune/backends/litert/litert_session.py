"""Inference and evaluation of TFLite files with LiteRT on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from edgeprune.backends.accuracy import Accuracy
from edgeprune.backends.batching import Array, Inputs, core_count
from edgeprune.backends.tflite_runtime import TfliteRuntime
from edgeprune.errors import ModelError
from edgeprune.progress import SILENT, Progress
from edgeprune.tflite.litert_interpreter import Kernels, load_interpreter
from edgeprune.tflite.tflite_file import Port, input_ports, output_ports
from edgeprune.tflite.tflite_loading import load

if TYPE_CHECKING:
    from edgeprune.model.splits import Split


class LiteRTSession(TfliteRuntime):
    """TFLite file that LiteRT has loaded.

    Args:
        path: Path of the file.
        inputs: Inputs, in order; None to read them from the file, see ``input_ports``.
        outputs: Outputs, in order; None to read them from the file, see ``output_ports``.
        threads: Number of threads for one inference.
        workers: Number of concurrent inferences.
        kernels: Kernels of LiteRT to use.

    Raises:
        ModelError: LiteRT cannot load the file.
    """

    name = "LiteRT"

    def __init__(
        self,
        path: Path,
        inputs: Sequence[Port] | None = None,
        outputs: Sequence[Port] | None = None,
        *,
        threads: int = 1,
        workers: int = 1,
        kernels: Kernels = "fastest",
    ) -> None:
        try:
            content = path.read_bytes()
            model = load(content)  # LiteRT believes many of its offsets
            inputs, outputs = inputs or input_ports(model), outputs or output_ports(model)
            loaded = [load_interpreter(content, kernels, threads) for _ in range(workers)]
        except (OSError, RuntimeError, ValueError, ModelError) as problem:
            raise ModelError(f"LiteRT cannot load {path}: {problem}") from problem
        details = loaded[0].get_input_details(), loaded[0].get_output_details()
        self._indices = tuple([detail["index"] for detail in side] for side in details)
        super().__init__(path, inputs, outputs, workers=workers)
        self._free: SimpleQueue[Any] = SimpleQueue()
        for interpreter in loaded:
            self._free.put(interpreter)

    def run_stored(self, inputs: Sequence[Array]) -> list[Array]:
        interpreter = self._free.get()
        try:
            for index, values in zip(self._indices[0], inputs, strict=True):
                interpreter.set_tensor(index, values)
            interpreter.invoke()
            return [interpreter.get_tensor(index) for index in self._indices[1]]
        except (RuntimeError, ValueError) as problem:
            raise self._failure(problem) from problem
        finally:
            self._free.put(interpreter)


def predict(path: Path, inputs: Inputs) -> list[Array]:
    """Load ``path`` and run ``inputs`` once; see ``LiteRTSession``."""
    return LiteRTSession(path).predict(inputs)


def predictor(path: Path) -> Callable[[Inputs], list[Array]]:
    """Load ``path`` and return a function of inputs (N, ...) that returns each output (N, ...), on all cores."""
    return LiteRTSession(path, workers=core_count()).predict


def evaluate(path: Path, split: Split, *, samples: int | None = None, progress: Progress = SILENT) -> Accuracy:
    """Load ``path`` and evaluate its accuracy on ``split``. Each core runs different samples."""
    return LiteRTSession(path, workers=core_count()).evaluate(split, samples=samples, progress=progress)
