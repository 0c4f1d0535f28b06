"""Import of ONNX files as trainable networks."""

from __future__ import annotations

from edgeprune.onnx_import.import_network import load_onnx

__all__ = ["load_onnx"]
