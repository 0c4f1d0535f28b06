"""Presentation of results: tables, report page and comparison. Imports no torch, onnx or onnxruntime."""
