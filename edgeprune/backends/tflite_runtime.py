"""Base class of the runtimes of TFLite files, with inputs and outputs in the layout of the ONNX file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from edgeprune.backends.accuracy import Accuracy, accuracy
from edgeprune.backends.batching import Array, Inputs, named, portions
from edgeprune.errors import ModelError
from edgeprune.progress import SILENT, Progress
from edgeprune.tflite.tflite_file import Port

if TYPE_CHECKING:
    from edgeprune.model.splits import Split


class TfliteRuntime(ABC):
    """A file that a runtime has loaded.

    Attributes:
        name: Of the runtime.
        path: Of the file.
        inputs: In order.
        outputs: In order.
    """

    name: ClassVar[str]

    def __init__(self, path: Path, inputs: Sequence[Port], outputs: Sequence[Port], *, workers: int = 1) -> None:
        self.path = path
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        self._workers = workers

    def predict(self, inputs: Inputs) -> list[Array]:
        """Run any number of samples, in portions of the file's batch size; dimension 0 is the batch everywhere.

        Args:
            inputs: In the layout of the ONNX file; floats also where the file is quantized.

        Returns:
            Each output (N, ...) in the layout of the ONNX file, floats where the file is quantized.

        Raises:
            ModelError: They are not the inputs that the file takes, or the runtime fails.
        """
        feed = named(inputs, [port.name for port in self.inputs], self.path)
        with ThreadPoolExecutor(self._workers) as pool:
            parts = list(
                pool.map(
                    lambda portion: [output[: portion[1]] for output in self.run(list(portion[0].values()))],
                    portions(feed, self.inputs[0].batch_size),
                )
            )
        return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Run one inference; inputs and outputs are in the layout of the ONNX file.

        Raises:
            ModelError: An input has another shape or type, or the runtime fails.
        """
        found = self.run_stored(self.stored(inputs))
        return [port.restored(values) for port, values in zip(self.outputs, found, strict=True)]

    def stored(self, inputs: Sequence[Array]) -> list[Array]:
        """``inputs`` of one inference as they lie in the TFLite file.

        Raises:
            ModelError: One has another shape or type.
        """
        for port, values in zip(self.inputs, inputs, strict=True):
            if values.shape != port.onnx_shape:
                raise self._failure(f"input {port.name} takes the shape {port.onnx_shape}, got {values.shape}")
        stored = [port.stored(values) for port, values in zip(self.inputs, inputs, strict=True)]
        for port, values in zip(self.inputs, stored, strict=True):
            if values.dtype != port.dtype:
                raise self._failure(f"input {port.name} takes {port.dtype}, got {values.dtype}")
        return stored

    @abstractmethod
    def run_stored(self, inputs: Sequence[Array]) -> list[Array]:
        """Run one inference; inputs and outputs are as they lie in the TFLite file, steps where it is quantized.

        Raises:
            ModelError: The runtime fails.
        """

    def evaluate(self, split: Split, *, samples: int | None = None, progress: Progress = SILENT) -> Accuracy:
        """Top-1 accuracy on the first ``samples`` of ``split``, or on all; see ``accuracy``."""
        return accuracy(self.predict, split, path=self.path, runtime=self.name, samples=samples, progress=progress)

    def _failure(self, problem: object) -> ModelError:
        return ModelError(f"{self.path} fails on {self.name}: {problem}")
