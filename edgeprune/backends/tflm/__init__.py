"""TFLite Micro on the host: its own kernels, its own allocator, and whether LiteRT agrees with it."""

from edgeprune.backends.tflm.agreement import Agreement, compare
from edgeprune.backends.tflm.arena import Arena, Kind
from edgeprune.backends.tflm.footprint import Footprint, footprint
from edgeprune.backends.tflm.interpreter import Interpreter, evaluate, predictor
from edgeprune.backends.tflm.lifetimes import Alive, Peak

__all__ = [
    "Agreement",
    "Alive",
    "Arena",
    "Footprint",
    "Interpreter",
    "Kind",
    "Peak",
    "compare",
    "evaluate",
    "footprint",
    "predictor",
]
