"""RAM and flash of a TFLite file with TFLite Micro."""

from __future__ import annotations

from pathlib import Path

from edgeprune.backends.footprint import Arena, Footprint
from edgeprune.backends.tflm import cmsis_nn
from edgeprune.backends.tflm.interpreter import Interpreter
from edgeprune.backends.tflm.kernel_sizes import BAND, SOURCE, code_bytes, golden_count
from edgeprune.backends.tflm.peak_activations import peak
from edgeprune.tflite.tflite_file import operator_name, read, tensor_bytes


def footprint(path: Path, arena: Arena | None = None) -> Footprint:
    """Compute the footprint of the file ``path``. Unless ``arena`` is given, TFLite Micro loads the file to measure it.

    Raises:
        ModelError: TFLite Micro cannot run the file.
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
        activation_source="as TensorFlow Lite Micro's allocator reports on the host",
        activation_kind="measured",
        code_source=SOURCE,
        code_error=BAND,
    )
