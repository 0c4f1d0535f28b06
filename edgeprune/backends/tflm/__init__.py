"""TFLite Micro on the host: its own kernels, its own allocator, and whether LiteRT agrees with it."""

from edgeprune.backends.tflm.agreement import Agreement, compare
from edgeprune.backends.tflm.arena import Arena, Kind
from edgeprune.backends.tflm.interpreter import Interpreter, evaluate, predictor

__all__ = ["Agreement", "Arena", "Interpreter", "Kind", "compare", "evaluate", "predictor"]
