"""Fusion of operators of a lowered graph."""

from __future__ import annotations

from edgeprune.tflite.conversion.fusing.fuse_activations import fuse_activations
from edgeprune.tflite.conversion.fusing.fuse_channels import fold_channel_selections
from edgeprune.tflite.conversion.fusing.fuse_padding import fuse_padding
from edgeprune.tflite.conversion.fusing.fuse_parts import fuse_parts
from edgeprune.tflite.conversion.fusing.fuse_scales import fold_scales
from edgeprune.tflite.conversion.tflite_graph import TfliteGraph


def fuse(graph: TfliteGraph) -> None:
    """Fuse operators of ``graph`` in place. Its function does not change."""
    graph.drop_dead()
    fuse_parts(graph)
    fold_scales(graph)
    fold_channel_selections(graph)
    fuse_padding(graph)
    fuse_activations(graph)
