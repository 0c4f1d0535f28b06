"""Comparison of the outputs of TFLite Micro with those of LiteRT."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgeprune.backends.agreement import MOST_STEPS, Agreement
from edgeprune.backends.batching import Array, Inputs, named, portions
from edgeprune.backends.litert.litert_session import LiteRTSession
from edgeprune.backends.tflm.interpreter import Interpreter
from edgeprune.errors import ModelError
from edgeprune.model.class_labels import IGNORED, check_shape
from edgeprune.operator_facts.tflite_operators import TFLITE
from edgeprune.progress import SILENT, Progress
from edgeprune.tflite import tflite_file
from edgeprune.tflite.litert_interpreter import Kernels
from edgeprune.tflite.tflite_file import Port
from edgeprune.tflite.tflite_schema import schema

_FLOAT32 = schema.TensorType.FLOAT32


def compare(
    path: Path,
    samples: Inputs,
    inputs: Sequence[Port] | None = None,
    outputs: Sequence[Port] | None = None,
    *,
    classes: bool = True,
    labels: Array | None = None,
    most_steps: int = MOST_STEPS,
    progress: Progress = SILENT,
) -> Agreement:
    """Run the quantized file ``path`` on TFLite Micro and on LiteRT, and compare the outputs.

    Args:
        path: Path of the file.
        samples: Real samples (N, ...) in the layout of the ONNX file, see ``TfliteRuntime.predict``.
        inputs: See ``Interpreter``.
        outputs: See ``Interpreter``.
        classes: Whether the first output has scores of classes, (N, classes, ...).
        labels: Correct classes of the samples, (N, ...).
        most_steps: Allowed difference that rounding explains, in quantization steps.
        progress: Progress indicator, which advances by one for each sample.

    Raises:
        ModelError: An output is computed in float, or a runtime cannot run the file.
        ParityError: Rounding does not explain the differences, see ``Agreement.check``.
    """
    from edgeprune.export import parity  # which needs torch, as nothing else of TFLite Micro does

    micro = Interpreter(path, inputs, outputs)
    sizes = step_sizes(path)
    session, kernels = _session(path, micro)
    feed = named(samples, [port.name for port in micro.inputs], path)
    count = len(next(iter(feed.values())))
    progress.start(count)
    answers: list[tuple[list[Array], list[Array]]] = []
    for portion, size in portions(feed, micro.inputs[0].batch_size):
        stored = micro.stored(list(portion.values()))
        reference_outputs, micro_outputs = (
            [port.moved(values)[:size].astype(np.float32) for port, values in zip(micro.outputs, results, strict=True)]
            for results in (session.run_stored(stored), micro.run_stored(stored))
        )
        answers.append((reference_outputs, micro_outputs))
        progress.advance(size)
    reference, other = (
        [np.concatenate(parts) for parts in zip(*batches, strict=True)] for batches in zip(*answers, strict=True)
    )
    sizes = [port.moved(size) for port, size in zip(micro.outputs, sizes, strict=True)]
    errors = parity.compare(_in_steps(reference, sizes), _in_steps(other, sizes), classes=False)
    top1_agreement = parity.compare(reference[:1], other[:1], classes=classes).top1_agreement
    accuracies = (None, None) if labels is None else (_accuracy(other[0], labels), _accuracy(reference[0], labels))
    agreement = Agreement(top1_agreement, round(errors.max_error), errors.mean_error, count, kernels, *accuracies)
    agreement.check(path, Interpreter.name, most_steps=most_steps)
    return agreement


def step_sizes(path: Path) -> list[Array]:
    """Compute the size of a quantization step for every element of every output, in the layout of the file.

    Integer outputs have steps of 1. A float output may join parts that were quantized with different scales. The scales
    are then propagated through the operators that join the parts. Constants, such as padding, have step size 0.

    Raises:
        ModelError: An output is computed in float.
    """
    model = tflite_file.read(path)
    graph = model.subgraphs[0]
    makers = {int(index): op for op in graph.operators for index in op.outputs}
    pending, sources = [int(index) for index in graph.outputs if graph.tensors[index].type == _FLOAT32], {}
    operators = set()
    while pending:
        index = pending.pop()
        if index in sources or model.buffers[graph.tensors[index].buffer].data is not None:
            continue
        maker = makers.get(index)
        name = "an input" if maker is None else tflite_file.operator_name(model, maker)
        if maker is not None and name == "DEQUANTIZE":
            sources[index] = tflite_file.scales(graph.tensors[maker.inputs[0]])[0]
        elif maker is not None and TFLITE[name].moves:
            operators.add(id(maker))
            pending.extend(int(read) for read in maker.inputs if graph.tensors[read].type == _FLOAT32)
        else:
            raise ModelError(
                f"{path}: expected quantized outputs, but {tflite_file.tensor_name(graph, index)} is computed in float "
                f"({name}): give an int8 file"
            )
    filled = {index: np.full(graph.tensors[index].shape, size, np.float32) for index, size in sources.items()}
    joined = _joined_outputs(model, [op for op in graph.operators if id(op) in operators], filled)
    ones = {index: np.ones(graph.tensors[index].shape, np.float32) for index in map(int, graph.outputs)}
    return [{**ones, **filled, **joined}[int(index)] for index in graph.outputs]


def _joined_outputs(
    model: schema.ModelT, operators: list[schema.OperatorT], values: dict[int, Array]
) -> dict[int, Array]:
    """Run only ``operators`` on the inputs ``values``; return the outputs of ``model`` that they compute."""
    graph = model.subgraphs[0]
    computed = {int(index) for op in operators for index in op.outputs}
    outputs = [int(index) for index in graph.outputs if int(index) in computed]
    if not outputs:
        return {}
    submodel, subgraph = copy.copy(model), copy.copy(graph)
    subgraph.operators, subgraph.inputs, subgraph.outputs = operators, list(values), outputs
    submodel.subgraphs, submodel.signatureDefs, submodel.metadata = [subgraph], [], []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "end.tflite"
        file.write_bytes(tflite_file.pack(submodel))
        results = LiteRTSession(file, kernels="optimized").run_stored(list(values.values()))
    return dict(zip(outputs, results, strict=True))


def _in_steps(values: list[Array], sizes: list[Array]) -> list[Array]:
    smallest = np.finfo(np.float32).tiny  # where a step has no size, any difference is too large
    return [each.astype(np.float64) / np.maximum(size, smallest) for each, size in zip(values, sizes, strict=True)]


def _accuracy(scores: Array, labels: Array) -> float:
    check_shape(labels.shape, scores.shape, where="the accuracy on TFLite Micro")
    return float((scores.argmax(axis=1) == labels).sum() / max(1, (labels != IGNORED).sum()))


def _session(path: Path, micro: Interpreter) -> tuple[LiteRTSession, Kernels]:
    try:
        return LiteRTSession(path, micro.inputs, micro.outputs, kernels="reference"), "reference"
    except ModelError:  # there is no reference kernel for CEIL and ELU
        return LiteRTSession(path, micro.inputs, micro.outputs, kernels="optimized"), "optimized"
