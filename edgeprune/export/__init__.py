"""From PyTorch to ONNX: ``onnx.export`` writes the file, ``parity`` compares it with the network it came from."""
