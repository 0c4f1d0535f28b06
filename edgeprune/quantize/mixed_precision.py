"""Mixed precision: keeps the smallest number of nodes in float that meets an accuracy budget.

Steps (Nagel et al. 2021, "A White Paper on Neural Network Quantization", on debugging):

1. Quantize each node with weights alone, and rank the nodes by the error of the outputs.
2. Bisect the number of the worst nodes that remain float, by measured accuracy.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from edgeprune.errors import ModelError
from edgeprune.quantize.calibration_samples import Array
from edgeprune.quantize.integer_fusion import Activations, gains_by_int8
from edgeprune.quantize.ort_session import load
from edgeprune.quantize.prepare_onnx import PreparedModel
from edgeprune.quantize.qdq_insertion import written

if TYPE_CHECKING:
    from onnxruntime.quantization.calibrate import TensorsData

_MOST = 0.5
"""Largest fraction of nodes that may remain float. With more, the gain of int8 does not outweigh its conversions."""


@dataclass(frozen=True)
class SensitiveNode:
    """Effect of quantizing only one node.

    Attributes:
        name: Name of the node.
        op_type: Operator of the node.
        error: Mean squared error of the network's outputs, divided by their mean square.
    """

    name: str
    op_type: str
    error: float


@dataclass(frozen=True)
class MixedPrecision:
    """Number of nodes that remain float, and the result.

    Attributes:
        count: Number of the worst nodes that remain float.
        accuracy: Accuracy with these nodes in float, 0..1.
        meets_budget: Whether the accuracy is within the budget.
    """

    count: int
    accuracy: float
    meets_budget: bool


def ranked(
    prepared: PreparedModel,
    ranges: TensorsData,
    names: Collection[str],
    samples: Sequence[Array],
    activations: Activations,
) -> list[SensitiveNode]:
    """Return the nodes with weights among ``names``, the most sensitive first.

    Args:
        prepared: Float model.
        ranges: Ranges of its activations.
        names: Names of the nodes that are quantized together.
        samples: Samples (1, C, H, W) for the errors. Some tens are enough.
        activations: Type of activations.
    """
    expected = _outputs(prepared.model, prepared.input_name, samples)
    power = max(float(np.mean(expected**2)), float(np.finfo(np.float32).tiny))
    weighted = [node for node in prepared.model.graph.node if gains_by_int8(node.op_type)]
    nodes = []
    for node in weighted:
        if node.name in names:
            float_names = {candidate.name for candidate in weighted} - {node.name}
            model, _ = written(prepared.model, ranges, activations=activations, kept_float=float_names)
            outputs = _outputs(model, prepared.input_name, samples)
            nodes.append(SensitiveNode(node.name, node.op_type, float(np.mean((outputs - expected) ** 2)) / power))
    return sorted(nodes, key=lambda node: -node.error)


def fewest(nodes: int, accuracy: Callable[[int], float], *, quantized: float, lowest: float) -> MixedPrecision:
    """Find the smallest number of float nodes that meets a budget by bisection, at most half of the nodes.

    If half of the nodes are not enough, the result has their accuracy and ``meets_budget`` is false.

    Args:
        nodes: Number of nodes.
        accuracy: Function from the number of the worst nodes in float to the top-1 accuracy.
        quantized: Accuracy without float nodes.
        lowest: Lowest accuracy within the budget.
    """
    if quantized >= lowest:
        return MixedPrecision(0, quantized, meets_budget=True)
    too_few, enough = 0, int(nodes * _MOST)
    best_accuracy = accuracy(enough) if enough else quantized
    if best_accuracy < lowest:
        return MixedPrecision(enough, best_accuracy, meets_budget=False)
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        reached = accuracy(middle)
        if reached >= lowest:
            enough, best_accuracy = middle, reached
        else:
            too_few = middle
    return MixedPrecision(enough, best_accuracy, meets_budget=True)


def _outputs(model: ModelProto, input_name: str, samples: Sequence[Array]) -> NDArray[np.float64]:
    """Concatenate all outputs of all samples into a flat array."""
    session = load(model.SerializeToString())
    try:
        outputs = [output for sample in samples for output in session.run(None, {input_name: sample})]
    except Exception as problem:  # its exceptions share no base class of their own
        raise ModelError(f"ONNX Runtime cannot run the partly quantized model: {problem}") from problem
    return np.concatenate([np.asarray(output, np.float64).reshape(-1) for output in outputs])
