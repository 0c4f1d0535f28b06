"""Base class of the runtimes of TFLite files. Inputs and outputs have the layout of the ONNX file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from edgeprune.backends.accuracy import Accuracy, accuracy
from edgeprune.backends.batching import Array, Inputs, named, of_samples, portions
from edgeprune.errors import ModelError
from edgeprune.progress import SILENT, Progress
from edgeprune.tflite.tflite_file import Port

if TYPE_CHECKING:
    from edgeprune.model.splits import Split


class TfliteRuntime(ABC):
    """TFLite file that a runtime has loaded.

    Attributes:
        name: Name of the runtime.
        path: Path of the file.
        inputs: Inputs, in order.
        outputs: Outputs, in order.
    """

    name: ClassVar[str]

    def __init__(self, path: Path, inputs: Sequence[Port], outputs: Sequence[Port], *, workers: int = 1) -> None:
        self.path = path
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        self._workers = workers

    def predict(self, inputs: Inputs) -> list[Array]:
        """Run any number of samples, in portions of the file's batch size. Dimension 0 of each input is the batch.

        Args:
            inputs: Inputs in the layout of the ONNX file. They are floats even if the file is quantized.

        Returns:
            Each output (N, ...) in the layout of the ONNX file. Outputs of a quantized file are floats.

        Raises:
            ModelError: The inputs do not match those of the file, an output has no batch, or the runtime fails.
        """
        feed = named(inputs, [port.name for port in self.inputs], self.path)
        size, names = self.inputs[0].batch_size, [port.name for port in self.outputs]

        def run(portion: tuple[dict[str, Array], int]) -> list[Array]:
            outputs = self.run(list(portion[0].values()))
            return of_samples(outputs, names, size=size, count=portion[1], path=self.path)

        with ThreadPoolExecutor(self._workers) as pool:
            parts = list(pool.map(run, portions(feed, size)))
        return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Run one inference. Inputs and outputs have the layout of the ONNX file.

        Raises:
            ModelError: The shape or type of an input is wrong, or the runtime fails.
        """
        outputs = self.run_stored(self.stored(inputs))
        return [port.restored(values) for port, values in zip(self.outputs, outputs, strict=True)]

    def stored(self, inputs: Sequence[Array]) -> list[Array]:
        """Return the inputs of one inference in the layout and type of the TFLite file.

        Raises:
            ModelError: The shape or type of an input is wrong.
        """
        for port, values in zip(self.inputs, inputs, strict=True):
            if values.shape != port.onnx_shape:
                raise self._failure(f"input {port.name}: expected the shape {port.onnx_shape}, got {values.shape}")
        stored = [port.stored(values) for port, values in zip(self.inputs, inputs, strict=True)]
        for port, values in zip(self.inputs, stored, strict=True):
            if values.dtype != port.dtype:
                raise self._failure(f"input {port.name}: expected the type {port.dtype}, got {values.dtype}")
        return stored

    @abstractmethod
    def run_stored(self, inputs: Sequence[Array]) -> list[Array]:
        """Run one inference on values in the layout and type of the TFLite file; integers if it is quantized.

        Raises:
            ModelError: The runtime fails.
        """

    def evaluate(self, split: Split, *, samples: int | None = None, progress: Progress = SILENT) -> Accuracy:
        """Evaluate the top-1 accuracy on the first ``samples`` of ``split``, or on all; see ``accuracy``."""
        return accuracy(self.predict, split, path=self.path, runtime=self.name, samples=samples, progress=progress)

    def _failure(self, problem: object) -> ModelError:
        return ModelError(f"inference of {self.path} failed on {self.name}: {problem}")
