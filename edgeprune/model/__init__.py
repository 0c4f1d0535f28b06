"""Inputs of a build: the user's network with its weights, an example input, and the data.

``sources`` finds user code, ``network`` builds and tries it, ``weights`` reads and writes checkpoints,
``data`` is what a data function returns, ``splits`` how samples become batches.
"""
