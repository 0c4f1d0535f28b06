"""Compiler from ONNX to TFLite. ``convert`` writes a file, which ``backends.litert`` runs.

Stages:

1. ``onnx_reading`` checks the ONNX file and computes constants.
2. ``ops`` lower each operator. They use ``layout_views`` of stored tensors, which avoid transposes between layouts.
3. ``fusing`` fuses operators.
4. ``tflite_writer`` writes the flatbuffer.
"""

from edgeprune.tflite.conversion.onnx_to_tflite import TfliteConversion, convert
from edgeprune.tflite.tflite_file import Port

__all__ = ["Port", "TfliteConversion", "convert"]
