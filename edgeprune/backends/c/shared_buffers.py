"""Buffers of activations: which tensors share memory.

- The result of a view lies where its source lies.
- A result that is computed in place overwrites an input that no later step reads.
- Parts of a concatenation are computed inside the result, and parts of a split are read inside the source, if they
  follow each other in memory.
- What becomes an output of the network by one of these steps is computed in the memory of the caller.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeprune.backends.c.int8_network import Int8Network, Step, Tensor
from edgeprune.backends.c.layer import Operator, operator_of

_ALIGNMENT = 4


@dataclass(eq=False)
class Buffer:
    """Memory of one or more tensors.

    Attributes:
        offsets: Tensors that share the memory, with their offsets in bytes.
        bytes: Size, aligned.
        first: Index of the first step that needs it; -1 for an input of the network.
        last: Index of the last step that needs it.
        port: Input or output of the network whose memory it is; None for memory in the arena.
    """

    offsets: dict[Tensor, int]
    bytes: int
    first: int
    last: int
    port: Tensor | None = None


def shared_buffers(network: Int8Network, *, joins: bool) -> list[Buffer]:
    """Return the buffers of a network.

    Args:
        network: The network.
        joins: Whether parts lie inside the larger tensor of a concatenation or a split.

    Raises:
        ModelError: C code cannot be generated for an operator.
    """
    buffers = _Buffers(network)
    for step in network.steps:
        facts = operator_of(step)
        parts = facts.parts(step) if joins else None
        if parts is not None:
            buffers.share_parts(step, *parts)
        elif facts.is_view or facts.in_place:
            buffers.share_source(step, facts)
        for tensor in step.outputs:
            if tensor not in buffers.of:
                buffers.add(tensor, step.index)
    return list({id(buffer): buffer for buffer in buffers.of.values()}.values())


class _Buffers:
    """Buffers of the tensors that are computed so far.

    Attributes:
        of: Buffer of each tensor.
    """

    def __init__(self, network: Int8Network) -> None:
        self._last = {tensor: step.index for step in network.steps for tensor in step.activations}
        self._last.update(dict.fromkeys(network.outputs, max((step.index for step in network.steps), default=0) + 1))
        self._ports = {*network.inputs, *network.outputs}
        self.of: dict[Tensor, Buffer] = {}
        for tensor in network.inputs:
            self.add(tensor, -1)

    def add(self, tensor: Tensor, index: int) -> Buffer:
        """Add a buffer of ``tensor``, which step ``index`` computes."""
        port = tensor if tensor in self._ports else None
        size = tensor.bytes + -tensor.bytes % _ALIGNMENT
        buffer = Buffer({tensor: 0}, size, index, self._last.get(tensor, index), port)
        self.of[tensor] = buffer
        return buffer

    def share_source(self, step: Step, facts: Operator) -> None:
        """Let the result of a view, or one that is computed in place, share memory with an input, if it may."""
        output = step.output
        for source in step.activations:
            buffer = self.of[source]
            if source.bytes != output.bytes or not (facts.is_view or self._may_overwrite(step, source)):
                continue
            if output not in self._ports:
                self._put(output, buffer, buffer.offsets[source], step.index)
                return
            if self._may_move(source):
                self._move(buffer, self.add(output, step.index), 0)
                return

    def share_parts(self, step: Step, whole: Tensor, parts: list[tuple[Tensor, int]]) -> None:
        """Put parts into the larger tensor, where they may be."""
        if whole in step.outputs:
            buffer = self.add(whole, step.index)
            for part, start in parts:
                if part in self.of and self._may_move(part) and self.of[part] is not buffer:
                    self._move(self.of[part], buffer, start * whole.dtype.itemsize)
            return
        if whole not in self.of:  # a constant
            return
        source = self.of[whole]
        for part, start in parts:
            if part not in self._ports:
                self._put(part, source, source.offsets[whole] + start * whole.dtype.itemsize, step.index)

    def _may_overwrite(self, step: Step, source: Tensor) -> bool:
        """Return whether a step may overwrite an input: nothing in its buffer is read later, or by the step itself."""
        buffer = self.of[source]
        others = (tensor for tensor in step.activations if tensor is not source)
        return (
            (buffer.port is None or buffer.first >= 0)
            and buffer.last <= step.index
            and all(self.of[other] is not buffer for other in others)
        )

    def _may_move(self, tensor: Tensor) -> bool:
        """Return whether all memory of a tensor may be elsewhere: it is in the arena, and as large as its buffer."""
        buffer = self.of[tensor]
        return buffer.port is None and buffer.bytes - tensor.bytes < _ALIGNMENT and buffer.offsets[tensor] == 0

    def _put(self, tensor: Tensor, buffer: Buffer, offset: int, index: int) -> None:
        buffer.offsets[tensor] = offset
        buffer.last = max(buffer.last, self._last.get(tensor, index))
        self.of[tensor] = buffer

    def _move(self, source: Buffer, target: Buffer, offset: int) -> None:
        target.first, target.last = min(target.first, source.first), max(target.last, source.last)
        for tensor, own in source.offsets.items():
            target.offsets[tensor] = own + offset
            self.of[tensor] = target
