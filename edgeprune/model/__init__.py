"""Inputs of a build: the user's network with its weights, an example input, and the data.

- ``user_objects`` loads user code, and ``network`` creates and tests the network.
- ``weights`` reads and writes checkpoints.
- ``data`` checks the result of a data function, and ``splits`` divides samples into batches.
"""
