"""Results of the stages of a build, which are the inputs of later stages.

These modules do not import torch, so a build whose stages are all cached is fast. There are several modules because the
cache key of a stage hashes the modules that it imports.
"""
