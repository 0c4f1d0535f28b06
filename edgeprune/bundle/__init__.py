"""Bundles: manifest, archive and signature. Imports no torch, onnx or onnxruntime."""
