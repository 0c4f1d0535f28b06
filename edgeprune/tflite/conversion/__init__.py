"""ONNX -> TFLite: a small compiler. ``convert`` writes a file, ``backends.litert`` runs it.

Its stages: ``reading`` checks the ONNX file and computes constants; ``ops`` lower each operator over ``views`` of what
is stored, so that layouts meet without transposes; ``fusing`` lets operators into each other; ``flatbuffer`` writes.
"""

from edgeprune.tflite.conversion.onnx_to_tflite import TfliteConversion, convert
from edgeprune.tflite.tflite_file import Port

__all__ = ["Port", "TfliteConversion", "convert"]
