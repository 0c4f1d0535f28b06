"""Inference and evaluation of ONNX files with ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeprune.backends.accuracy import Accuracy, accuracy
from edgeprune.backends.batching import Array, Inputs, core_count, named, of_samples, portions
from edgeprune.errors import ModelError
from edgeprune.progress import SILENT, Progress

if TYPE_CHECKING:
    import onnxruntime

    from edgeprune.model.data import Split


def session_options(*, threads: int | None = None, spinning: bool = True) -> onnxruntime.SessionOptions:
    """Session options for one model that uses the runtime alone. ``onnxruntime_runner.py`` uses the same options.

    Args:
        threads: Number of threads for one inference; None for all cores that this process may use.
        spinning: Whether threads spin while they wait for work. This is faster unless other processes need the cores.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or core_count()
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    # Sums of 16 bits saturate in the int8 kernels for x86-64 processors without VNNI; others ignore the entry.
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.log_severity_level = 3  # errors, which are also raised
    return options


class OnnxRuntimeSession:
    """ONNX model that ONNX Runtime has loaded."""

    def __init__(self, path: Path, *, threads: int | None = None, spinning: bool = True) -> None:
        """Load the ONNX file ``path``. See ``session_options`` for the arguments.

        Raises:
            ModelError: ONNX Runtime cannot load the file.
        """
        import onnxruntime

        self.path = path
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), session_options(threads=threads, spinning=spinning), providers=["CPUExecutionProvider"]
            )
        except Exception as problem:  # its exceptions share no base class of their own
            raise ModelError(f"ONNX Runtime cannot load {path}: {problem}") from problem
        self._inputs = self._session.get_inputs()
        batch = self._inputs[0].shape[0] if self._inputs[0].shape else None
        self.input_names = tuple(value.name for value in self._inputs)
        self.output_names = tuple(value.name for value in self._session.get_outputs())
        self.batch_size: int | None = batch if isinstance(batch, int) else None
        """Number of samples of one inference; None if the batch size of the file is dynamic."""

    def predict(self, inputs: Inputs, *, workers: int = 1) -> list[Array]:
        """Run any number of samples, in portions if the file has a fixed batch size.

        Args:
            inputs: A single input (N, ...), or all inputs in order or by name.
            workers: Number of portions that run at the same time.

        Returns:
            Each output (N, ...).

        Raises:
            ModelError: ONNX Runtime rejects the inputs or fails, or an output has no batch.
        """
        feed = named(inputs, self.input_names, self.path)
        with ThreadPoolExecutor(workers) as pool:
            parts = list(pool.map(lambda portion: self._run(*portion), portions(feed, self.batch_size)))
        return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

    def evaluate(self, split: Split, *, workers: int = 1, progress: Progress = SILENT) -> Accuracy:
        """Evaluate the top-1 accuracy on ``split``.

        If the batch size of the file is 1, samples run one by one as on the device.

        Args:
            split: Samples with labels.
            workers: See ``predict``.
            progress: Progress indicator, which advances by one for each sample.

        Raises:
            DataError: The split is empty.
            ModelError: ONNX Runtime rejects the inputs or fails, or an output is not finite.
        """
        return accuracy(
            lambda inputs: self.predict(inputs, workers=workers),
            split,
            path=self.path,
            runtime="ONNX Runtime",
            progress=progress,
        )

    def _run(self, portion: dict[str, Array], count: int) -> list[Array]:
        try:
            outputs = self._session.run(None, portion)
        except Exception as problem:  # its exceptions share no base class of their own
            raise ModelError(f"inference of {self.path} failed on ONNX Runtime: {problem}") from problem
        size = len(next(iter(portion.values())))
        return of_samples(outputs, self.output_names, size=size, count=count, path=self.path)


def predict(path: Path, inputs: Inputs, *, threads: int | None = None) -> list[Array]:
    """Load ``path`` and run ``inputs`` once; see ``OnnxRuntimeSession``."""
    return OnnxRuntimeSession(path, threads=threads).predict(inputs)


def predictor(path: Path) -> Callable[[Inputs], list[Array]]:
    """Load ``path`` and return a function of inputs (N, ...) that returns each output (N, ...), on all cores."""
    session = OnnxRuntimeSession(path, threads=1, spinning=False)
    return lambda inputs: session.predict(inputs, workers=core_count())


def evaluate(path: Path, split: Split, *, progress: Progress = SILENT) -> Accuracy:
    """Load ``path`` and evaluate its accuracy on ``split``.

    Each core runs different samples. Several threads for one small inference would spend much time waiting.
    """
    return OnnxRuntimeSession(path, threads=1, spinning=False).evaluate(split, workers=core_count(), progress=progress)
