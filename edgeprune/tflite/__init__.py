"""TFLite files: schema, reading, verification, writing, conversion from ONNX, and quantization."""
