"""What came out, for people: ``table``. Imports no torch, onnx or onnxruntime."""
