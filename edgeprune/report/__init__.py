"""Results for people: tables, report and comparison. Imports no torch, onnx or onnxruntime."""
