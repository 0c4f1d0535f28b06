"""TFLite files: their schema, reading, verification, writing, conversion from ONNX and quantization."""
