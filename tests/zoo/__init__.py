"""Real architectures of four families, with random weights."""
