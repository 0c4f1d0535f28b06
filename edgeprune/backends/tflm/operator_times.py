"""Execution time of each operator of a file in TFLite Micro.

Each operator runs in a separate model, because the Python package of TFLite Micro has no profiler.
"""

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
    """Measure each operator; return its name and the shortest time of ``runs`` in microseconds, in execution order.

    The times do not include work between operators, and caches are warmer than in an inference.

    Raises:
        ModelError: TFLite Micro cannot run an operator.
    """
    model = tflite_file.read(path)
    with tempfile.TemporaryDirectory() as folder:
        times = []
        for index, operator in enumerate(model.subgraphs[0].operators):
            file = Path(folder) / f"{index}.tflite"
            file.write_bytes(tflite_file.pack(_single_operator_model(model, operator)))
            times.append((tflite_file.operator_name(model, operator), min(_times_us(file, runs))))
    return times


def _single_operator_model(model: schema.ModelT, operator: schema.OperatorT) -> schema.ModelT:
    """Extract a model with a single operator. The operator's inputs that are not constants become its inputs."""
    graph = model.subgraphs[0]
    submodel, subgraph = copy.copy(model), copy.copy(graph)
    operand_indices = [int(index) for index in operator.inputs if index >= 0]
    input_indices = [index for index in operand_indices if model.buffers[graph.tensors[index].buffer].data is None]
    subgraph.operators, subgraph.inputs, subgraph.outputs = (
        [operator],
        input_indices,
        [int(index) for index in operator.outputs],
    )
    submodel.subgraphs, submodel.signatureDefs, submodel.metadata = (
        [subgraph],
        [],
        [],
    )  # metadata describes the whole model
    return submodel


def _times_us(path: Path, runs: int) -> Iterator[float]:
    interpreter = Interpreter(path)
    inputs = [np.zeros(port.shape, port.dtype) for port in interpreter.inputs]
    interpreter.run_stored(inputs)
    for _ in range(runs):
        start = time.perf_counter_ns()
        interpreter.run_stored(inputs)
        yield (time.perf_counter_ns() - start) / 1e3
