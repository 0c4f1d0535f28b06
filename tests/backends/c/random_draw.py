"""Random attributes of operators."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

_ACTIVATIONS = (
    schema.ActivationFunctionType.NONE, schema.ActivationFunctionType.RELU, schema.ActivationFunctionType.RELU6,
    schema.ActivationFunctionType.RELU_N1_TO_1,
)  # fmt: skip


class Draw:
    """Random sizes, scales and values."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def size(self, least: int, most: int) -> int:
        return int(self.rng.integers(least, most + 1))

    def one_of(self, *values: Any) -> Any:
        return values[self.size(0, len(values) - 1)]

    def scale(self) -> float:
        return float(np.float32(self.rng.uniform(0.01, 0.1)))

    def weights(self, *shape: int) -> np.ndarray:
        return self.rng.integers(-127, 128, shape, dtype=np.int8)

    def steps(self) -> dict[str, Any]:
        """Return quantization of an activation."""
        return {"scale": self.scale(), "zero_point": self.size(-128, 127)}

    def activation(self) -> int:
        return int(self.one_of(*_ACTIVATIONS))
