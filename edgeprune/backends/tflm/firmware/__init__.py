"""C++ files that run a model on a microcontroller."""
