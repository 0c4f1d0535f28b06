"""Lowerings of DepthToSpace and SpaceToDepth."""

from __future__ import annotations

import numpy as np

from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.nhwc import stored_image, stored_shape, write_image
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.ops.base import lowering
from edgeprune.tflite.tflite_schema import schema


@lowering("DepthToSpace", layout="channels_last")
def depth_to_space(node: Node, low: Lowering) -> None:
    """Lower DepthToSpace. TFLite has the mode DCR; CRD (PixelShuffle) needs a permutation of the channels first."""
    x = stored_image(node, low, node.inputs[0])
    size = node.get("blocksize")
    if node.get("mode", "DCR") == "CRD":
        order = np.arange(x.shape[3], dtype=np.int32).reshape(-1, size * size).T.reshape(-1)
        x = low.emit("GATHER", [x, low.constant("channels", order)], x.shape, schema.GatherOptionsT(axis=3))
    options = schema.DepthToSpaceOptionsT(blockSize=size)
    write_image(node, low, low.emit("DEPTH_TO_SPACE", [x], stored_shape(node, low), options))


@lowering("SpaceToDepth", layout="channels_last")
def space_to_depth(node: Node, low: Lowering) -> None:
    x = stored_image(node, low, node.inputs[0])
    options = schema.SpaceToDepthOptionsT(blockSize=node.get("blocksize"))
    write_image(node, low, low.emit("SPACE_TO_DEPTH", [x], stored_shape(node, low), options))
