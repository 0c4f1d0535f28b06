"""What is shipped: the manifest and the archive. Imports no torch, onnx or onnxruntime."""
