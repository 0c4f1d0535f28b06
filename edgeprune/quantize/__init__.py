"""Static int8 quantization of ONNX models: calibration, QDQ, nodes that stay float, and whether int8 ships at all.

``static.quantize`` writes a file, ``decision.decide`` chooses between it and the float one.
"""

from __future__ import annotations

from edgeprune.quantize.activation_ranges import METHODS, Method
from edgeprune.quantize.integer_fusion import Activations, activations_for
from edgeprune.quantize.mixed_precision import SensitiveNode
from edgeprune.quantize.precision_choice import (
    Demand,
    LatencyRatio,
    PrecisionCandidate,
    PrecisionDecision,
    PrecisionInputs,
    decide,
    decide_for_board,
)
from edgeprune.quantize.static_int8 import AccuracyBudget, QuantizedModel, quantize

__all__ = [
    "METHODS",
    "AccuracyBudget",
    "Activations",
    "Demand",
    "LatencyRatio",
    "Method",
    "PrecisionCandidate",
    "PrecisionDecision",
    "PrecisionInputs",
    "QuantizedModel",
    "SensitiveNode",
    "activations_for",
    "decide",
    "decide_for_board",
    "quantize",
]
