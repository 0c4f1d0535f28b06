"""Inputs and outputs of a converted model, and how they lie there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeprune.backends.tflite.graph import Array
from edgeprune.backends.tflite.views import Shape


@dataclass(frozen=True)
class Port:
    """An input or output of a converted model.

    Attributes:
        name: As in the ONNX file.
        shape: As the TFLite file has it.
        dtype: Name of the element type.
        order: Dimension i of the TFLite file is dimension ``order[i]`` of the ONNX file: (0, 2, 3, 1) is NHWC of NCHW.
    """

    name: str
    shape: Shape
    dtype: str
    order: Shape

    def stored(self, values: Array) -> Array:
        """From the layout of the ONNX file to that of the TFLite file."""
        return np.asarray(values.transpose(self.order), order="C")

    def restored(self, values: Array) -> Array:
        """From the layout of the TFLite file to that of the ONNX file."""
        return np.asarray(values.transpose(np.argsort(self.order)), order="C")
