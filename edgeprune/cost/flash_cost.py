"""Size of the deployed weights in flash memory, with BatchNorm folded into the preceding layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import fx

from edgeprune.cost.multilinear import Multilinear
from edgeprune.cost.multilinear_terms import elements
from edgeprune.errors import InputError
from edgeprune.graph import Units
from edgeprune.graph.coupling import Product
from edgeprune.graph.graph_operators import is_operator_call, operator_name
from edgeprune.graph.index_labels import Labels
from edgeprune.graph.operator_call import Call
from edgeprune.operator_facts.aten_operators import ATEN

_WEIGHT_BYTES = {"float32": 4, "int8": 1}
_VECTOR_BYTES = 4


def flash_bytes(units: Units, precision: str = "float32") -> Multilinear:
    """Return the bytes of all floating-point constants that evaluation reads: parameters, statistics and tables.

    - ``float32`` has 4 bytes for each element.
    - ``int8`` has 1 byte for each element of a weight (two or more dimensions), and 4 bytes for other elements.
    - Values that are computed from weights alone (a weight norm) are stored as their result.
    - A BatchNorm is folded into the preceding convolution or linear layer if it is its only reader. It leaves one bias
      for each channel. Any other BatchNorm has four vectors.
    - The overhead of the file format (names, graph, tables of indices) is not counted.

    Raises:
        InputError: The precision is not supported.
    """
    if precision not in _WEIGHT_BYTES:
        raise InputError(
            f"precision of weights: got {precision!r}, must be one of {', '.join(map(repr, _WEIGHT_BYTES))}"
        )
    return Multilinear(units, list(_stored(units, _WEIGHT_BYTES[precision])))


def _stored(units: Units, weight_bytes: int) -> Iterator[Product]:
    program, labels = units.coordinates.program, units.coordinates.labels
    constant = _constants(program.graph)
    folded: set[fx.Node] = set()
    counted: set[int] = set()
    for node in program.graph.nodes:
        if is_operator_call(node) and ATEN[operator_name(node.target)].folds_into_layer and _folds(node, constant):
            folded.add(node)
            (layer,) = node.args[:1]
            call = Call(program, layer, labels)
            if call.labels("bias") is None and isinstance(labels[node], Labels):
                yield _vector(labels[node])  # type: ignore[arg-type]
    for node in constant:
        if node.op == "get_attr" and isinstance(value := program.attribute(node), torch.Tensor):
            if id(value) in counted:
                continue
            counted.add(id(value))
        if all(user in constant or user in folded for user in node.users):
            continue
        value, node_labels = node.meta.get("val"), labels.get(node)
        if isinstance(value, torch.Tensor) and value.is_floating_point() and isinstance(node_labels, Labels):
            yield elements(units, node_labels, weight_bytes if value.ndim > 1 else _VECTOR_BYTES)


def _constants(graph: fx.Graph) -> dict[fx.Node, None]:
    """Return the nodes that depend on weights alone, in order."""
    constants: dict[fx.Node, None] = {}
    for node in graph.nodes:
        reads = node.all_input_nodes
        if node.op == "get_attr" or (node.op == "call_function" and reads and all(read in constants for read in reads)):
            constants[node] = None
    return constants


def _folds(norm: fx.Node, constant: dict[fx.Node, None]) -> bool:
    layer: Any = norm.args[0]
    return (
        is_operator_call(layer)
        and ATEN[operator_name(layer.target)].layer is not None
        and len(layer.users) == 1
        and layer.args[1] in constant
        and len(layer.args[1].users) == 1
    )


def _vector(labels: Labels) -> Product:
    """Return the bytes of one float32 for each channel of a tensor (batch, channels, *positions)."""
    ids = labels.vector(1)
    return Product(_VECTOR_BYTES * labels.shape[1], ()) if ids is None else Product(_VECTOR_BYTES, (ids,))
