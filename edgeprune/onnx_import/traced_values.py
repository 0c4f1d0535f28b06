"""Values of an imported graph: computed tensors and sizes, constants, and shapes that depend on the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from edgeprune.onnx_import.batch_position import Position


@dataclass(frozen=True, eq=False)
class Value:
    """Result of a node of the new graph.

    Attributes:
        node: Node of the new graph.
        lanes: Its value in each run of the examples, see ``NetworkBuilder``: tensors, or integers for a size.
        position: Position of the batch in the tensor; None if it does not depend on the batch.
        is_raw: Whether it is computed from inputs without any weight, as in the normalization of images.
    """

    node: fx.Node
    lanes: tuple[Any, ...]
    position: Position | None = None
    is_raw: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor in the first run."""
        return tuple(self.lanes[0].shape)

    @property
    def dtype(self) -> torch.dtype:
        dtype: torch.dtype = self.lanes[0].dtype
        return dtype


@dataclass(frozen=True, eq=False)
class Constant:
    """Value that does not depend on the inputs.

    Attributes:
        tensor: Its value.
        origin: Name of the initializer or node output that it was computed from.
    """

    tensor: Tensor
    origin: str

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.tensor.shape)

    @property
    def dtype(self) -> torch.dtype:
        return self.tensor.dtype


Size = int | Value
"""A number that is fixed, or that depends on the batch."""


@dataclass(frozen=True, eq=False)
class Sizes:
    """Integer tensor of rank 0 or 1, of which at least one element depends on the batch.

    Attributes:
        items: Its elements.
        is_scalar: Whether it has rank 0.
    """

    items: tuple[Size, ...]
    is_scalar: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return () if self.is_scalar else (len(self.items),)


Operand = Value | Constant | Sizes


def size_vector(items: Sequence[Size], origin: str, *, is_scalar: bool = False) -> Sizes | Constant:
    """Return sizes as an operand, which is a constant if no size depends on the batch.

    Args:
        items: The sizes, or booleans.
        origin: Name of the value in the file.
        is_scalar: Whether the tensor has rank 0.
    """
    if any(isinstance(item, Value) for item in items):
        return Sizes(tuple(items), is_scalar)
    tensor = torch.tensor(items, dtype=torch.bool if items and isinstance(items[0], bool) else torch.int64)
    return Constant(tensor.reshape(()) if is_scalar else tensor, origin)
