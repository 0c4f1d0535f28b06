"""How long each operator of a file takes in TFLite Micro: run alone, as its Python package has no profiler."""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgeprune.backends.tflm.interpreter import Interpreter
from edgeprune.tflite import tflite_file
from edgeprune.tflite.tflite_schema import schema

_RUNS = 5


def layer_times_us(path: Path, *, runs: int = _RUNS) -> list[tuple[str, float]]:
    """Operator and microseconds of one run, in the order they run: the fastest of ``runs``, on any input.

    What an inference does between operators is not in it, and what an operator finds in the caches is warmer.

    Raises:
        ModelError: TFLite Micro cannot run one of them.
    """
    model = tflite_file.read(path)
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for index, operator in enumerate(model.subgraphs[0].operators):
            file = Path(folder) / f"{index}.tflite"
            file.write_bytes(tflite_file.pack(_alone(model, operator)))
            found.append((tflite_file.operator_name(model, operator), min(_times_us(file, runs))))
    return found


def _alone(model: schema.ModelT, operator: schema.OperatorT) -> schema.ModelT:
    """A model of one operator; what it reads that is no constant is the input."""
    graph = model.subgraphs[0]
    alone, only = copy.copy(model), copy.copy(graph)
    read = [int(index) for index in operator.inputs if index >= 0]
    given = [index for index in read if model.buffers[graph.tensors[index].buffer].data is None]
    only.operators, only.inputs, only.outputs = [operator], given, [int(index) for index in operator.outputs]
    alone.subgraphs, alone.signatureDefs, alone.metadata = [only], [], []  # metadata describes the whole model
    return alone


def _times_us(path: Path, runs: int) -> Iterator[float]:
    interpreter = Interpreter(path)
    inputs = [np.zeros(port.shape, port.dtype) for port in interpreter.inputs]
    interpreter.run_stored(inputs)
    for _ in range(runs):
        started = time.perf_counter_ns()
        interpreter.run_stored(inputs)
        yield (time.perf_counter_ns() - started) / 1e3
