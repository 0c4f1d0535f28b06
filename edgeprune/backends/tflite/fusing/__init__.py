"""Fusion of operators of a lowered graph, step by step."""

from __future__ import annotations

from edgeprune.backends.tflite.fusing.activations import fuse_activations
from edgeprune.backends.tflite.fusing.channels import fold_channel_choices
from edgeprune.backends.tflite.fusing.padding import fuse_padding
from edgeprune.backends.tflite.fusing.scales import fold_scales
from edgeprune.backends.tflite.graph import Graph


def fuse(graph: Graph) -> None:
    """Make ``graph`` smaller; it computes the same."""
    graph.drop_dead()
    fold_scales(graph)
    fold_channel_choices(graph)
    fuse_padding(graph)
    fuse_activations(graph)
