"""ONNX -> TFLite: a small compiler. ``convert`` writes a file, ``Session`` runs one on LiteRT.

Its stages: ``reading`` checks the ONNX file and computes constants; ``ops`` lower each operator over ``views`` of what
is stored, so that layouts meet without transposes; ``fusing`` lets operators into each other; ``flatbuffer`` writes.
"""

from edgeprune.backends.tflite.converting import Converted, convert
from edgeprune.backends.tflite.port import Port
from edgeprune.backends.tflite.session import Session

__all__ = ["Converted", "Port", "Session", "convert"]
