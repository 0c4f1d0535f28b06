"""TFLite Micro on the host: its own kernels, its own allocator, and whether LiteRT agrees with it."""
