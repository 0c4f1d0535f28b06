"""Static int8 quantization of ONNX models: calibration, QDQ, mixed precision, and selection of the precision.

``static_int8.quantize`` writes a file. ``precision_choice.decide`` selects it or the float file.
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
