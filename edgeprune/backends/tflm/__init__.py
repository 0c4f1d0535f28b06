"""TFLite Micro on the host: inference with its kernels, its memory allocator, and comparison with LiteRT."""
