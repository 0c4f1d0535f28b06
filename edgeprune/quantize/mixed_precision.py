"""Which nodes stay float so that an accuracy budget is kept: as few as possible, those first that do most harm.

Each node with weights is quantized alone and the error of the outputs taken (Nagel et al. 2021, "A White Paper on
Neural Network Quantization", on debugging). That ranks them once; then their number is bisected by measured accuracy,
as more of the worst in float lose less.
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
"""Share of the nodes that may stay float: with more, what is left of int8 is not worth its conversions."""


@dataclass(frozen=True)
class SensitiveNode:
    """Effect of quantizing one node alone.

    Attributes:
        name: Of the node.
        op_type: Its operator.
        error: Mean squared error of the network's outputs, over their mean square.
    """

    name: str
    op_type: str
    error: float


@dataclass(frozen=True)
class MixedPrecision:
    """How many nodes stay float.

    Attributes:
        count: Of the worst nodes.
        accuracy: With them in float.
        kept: Whether that is enough.
    """

    count: int
    accuracy: float
    kept: bool


def ranked(
    prepared: PreparedModel,
    ranges: TensorsData,
    names: Collection[str],
    samples: Sequence[Array],
    activations: Activations,
) -> list[SensitiveNode]:
    """Nodes with weights among ``names``, the worst first.

    Args:
        prepared: The float model.
        ranges: Of its activations.
        names: Nodes that are quantized together.
        samples: That errors are taken on, each (1, C, H, W); some tens are enough to rank.
        activations: Their type.
    """
    expected = _outputs(prepared.model, prepared.input_name, samples)
    power = max(float(np.mean(expected**2)), float(np.finfo(np.float32).tiny))
    weighted = [node for node in prepared.model.graph.node if gains_by_int8(node.op_type)]
    nodes = []
    for node in weighted:
        if node.name in names:
            others = {other.name for other in weighted} - {node.name}
            alone, _ = written(prepared.model, ranges, activations=activations, kept_float=others)
            got = _outputs(alone, prepared.input_name, samples)
            nodes.append(SensitiveNode(node.name, node.op_type, float(np.mean((got - expected) ** 2)) / power))
    return sorted(nodes, key=lambda node: -node.error)


def fewest(nodes: int, accuracy: Callable[[int], float], *, quantized: float, lowest: float) -> MixedPrecision:
    """The smallest number of nodes in float that keeps a budget, at most half of them; bisected.

    Where half of them are not enough, that is told with what they reach.

    Args:
        nodes: How many there are.
        accuracy: Top-1 share with so many of the worst in float.
        quantized: With none.
        lowest: That the budget allows.
    """
    if quantized >= lowest:
        return MixedPrecision(0, quantized, kept=True)
    too_few, enough = 0, int(nodes * _MOST)
    found = accuracy(enough) if enough else quantized
    if found < lowest:
        return MixedPrecision(enough, found, kept=False)
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        reached = accuracy(middle)
        if reached >= lowest:
            enough, found = middle, reached
        else:
            too_few = middle
    return MixedPrecision(enough, found, kept=True)


def _outputs(model: ModelProto, input_name: str, samples: Sequence[Array]) -> NDArray[np.float64]:
    """All outputs of all samples, flat."""
    session = load(model.SerializeToString())
    try:
        outputs = [output for sample in samples for output in session.run(None, {input_name: sample})]
    except Exception as problem:  # its exceptions share no base class of their own
        raise ModelError(f"ONNX Runtime cannot run a partly quantized model: {problem}") from problem
    return np.concatenate([np.asarray(output, np.float64).reshape(-1) for output in outputs])
