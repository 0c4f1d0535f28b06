"""LiteRT on the CPU."""
