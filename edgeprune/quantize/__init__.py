"""Static int8 quantization of ONNX models: calibration, QDQ, nodes that stay float, and whether int8 ships at all.

``static.quantize`` writes a file, ``decision.decide`` chooses between it and the float one.
"""

from __future__ import annotations

from edgeprune.quantize.calibration import METHODS, Method
from edgeprune.quantize.decision import Candidate, Decision, Demand, Facts, LatencyRatio, Precision, decide
from edgeprune.quantize.fusing import Activations, activations_for
from edgeprune.quantize.sensitivity import SensitiveNode
from edgeprune.quantize.static import AccuracyBudget, QuantizedModel, quantize

__all__ = [
    "METHODS",
    "AccuracyBudget",
    "Activations",
    "Candidate",
    "Decision",
    "Demand",
    "Facts",
    "LatencyRatio",
    "Method",
    "Precision",
    "QuantizedModel",
    "SensitiveNode",
    "activations_for",
    "decide",
    "quantize",
]
