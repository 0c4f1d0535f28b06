"""Fusion of operators of a lowered graph, step by step."""

from __future__ import annotations

from edgeprune.tflite.conversion.fusing.activations import fuse_activations
from edgeprune.tflite.conversion.fusing.channels import fold_channel_choices
from edgeprune.tflite.conversion.fusing.padding import fuse_padding
from edgeprune.tflite.conversion.fusing.scales import fold_scales
from edgeprune.tflite.conversion.graph import Graph


def fuse(graph: Graph) -> None:
    """Make ``graph`` smaller; it computes the same."""
    graph.drop_dead()
    fold_scales(graph)
    fold_channel_choices(graph)
    fuse_padding(graph)
    fuse_activations(graph)
