"""Constants of a file that contain its batch size, changed to fit any batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from edgeprune.onnx_import.network_builder import NetworkBuilder
from edgeprune.onnx_import.traced_values import Constant, Size, Value


def for_any_batch(net: NetworkBuilder, *operands: Value | Constant) -> list[Value | Constant]:
    """Return operands that are broadcast with each other; constants that repeat a sample have one sample instead."""
    if not net.has_free_batch or net.batch_size == 1:
        return list(operands)
    rank = max(len(operand.shape) for operand in operands)
    batched = {
        operand.position.dim + rank - len(operand.shape)
        for operand in operands
        if isinstance(operand, Value) and operand.position is not None
    }
    changed = list(operands)
    for index, operand in enumerate(operands):
        for dim in (dim - rank + len(operand.shape) for dim in batched):
            if dim >= 0:
                changed[index] = one_sample(net, changed[index], dim)
    return changed


def joined_with_batch(net: NetworkBuilder, operands: Sequence[Value | Constant], axis: int) -> list[Value | Constant]:
    """Return operands of a concatenation; constants that repeat a sample are expanded to the batch."""
    positions = [one.position for one in operands if isinstance(one, Value) and one.position is not None]
    if not positions or positions[0].dim == axis:
        return list(operands)
    dim = positions[0].dim
    return [expanded_to_batch(net, one, dim) if _lacks_batch(one) else one for one in operands]


def expanded_to_batch(
    net: NetworkBuilder, operand: Value | Constant, dim: int, *, trained: bool = True
) -> Value | Constant:
    """Return a value that repeats one sample along ``dim``, expanded to the batch.

    Args:
        net: Network under construction.
        operand: The value.
        dim: Dimension of the batch.
        trained: Whether a constant of floats is a parameter.
    """
    if not net.has_free_batch:
        return operand
    sample = one_sample(net, operand, dim)
    if sample.shape[dim] != 1:
        return operand
    if trained and isinstance(sample, Constant) and sample.dtype.is_floating_point:
        sample = net.read(net.parameter(sample))
    sizes: list[Size] = [-1] * len(operand.shape)
    sizes[dim] = net.batch
    expanded: Value | Constant = net.call("expand", sample, sizes)
    return expanded


def one_sample(net: NetworkBuilder, operand: Value | Constant, dim: int) -> Value | Constant:
    """Return a constant that repeats one sample along ``dim`` as that sample; other values unchanged."""
    if not isinstance(operand, Constant) or operand.shape[dim] != net.batch_size or not _repeats(operand.tensor, dim):
        return operand
    return Constant(operand.tensor.narrow(dim, 0, 1).contiguous(), operand.origin)


def _lacks_batch(operand: Value | Constant) -> bool:
    return isinstance(operand, Constant) or operand.position is None


def _repeats(tensor: Tensor, dim: int) -> bool:
    return torch.equal(tensor, tensor.narrow(dim, 0, 1).expand_as(tensor))
