"""Export from PyTorch to ONNX, and comparison of the exported file with the network."""
