"""Parallel execution of the dense and the pruned network, one call at a time over all batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, fx

from edgeprune.graph import Units
from edgeprune.graph.masked_execution import MaskedProgram


class PairedExecution:
    """Execution of both networks on ``batches``, in which a layer can be refitted before later calls are computed.

    Values for later calls are stored for all batches, so memory is twice the live activations of the samples.

    Args:
        units: Units of the dense program.
        removed: Mask of the removed units, (units,).
        batches: Flat inputs of each batch.
    """

    def __init__(self, units: Units, removed: Tensor, batches: list[list[Any]]) -> None:
        self.state: dict[str, Tensor] = {}
        none = torch.zeros_like(removed)
        self._dense = [_Run(units, none, {}, inputs) for inputs in batches]
        self._pruned = [_Run(units, removed, self.state, inputs) for inputs in batches]
        self._graph = units.coordinates.program.graph

    def calls(self) -> Iterator[fx.Node]:
        """Yield each node in order, before the node is run."""
        for node in self._graph.nodes:
            if node.op == "output":
                return
            yield node
            with torch.no_grad():
                for run in (*self._dense, *self._pruned):
                    run.step(node)

    def inputs(self, node: fx.Node, argument: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the inputs of the next call in each batch, of the pruned (with zeros) and of the dense network."""
        for dense, pruned in zip(self._dense, self._pruned, strict=True):
            yield pruned.arguments(node)[argument], dense.arguments(node)[argument]

    def change(self, tensors: Mapping[str, Tensor]) -> None:
        """Use ``tensors``, of dense shape, in the pruned network from now on."""
        self.state.update(tensors)
        for run in self._pruned:
            run.reload(tensors)


class _Run(MaskedProgram):
    def __init__(self, units: Units, removed: Tensor, state: Mapping[str, Tensor], inputs: list[Any]) -> None:
        super().__init__(units, removed, state)
        self.args_iter = iter(inputs)
        self.env = {}

    def step(self, node: fx.Node) -> None:
        self.env[node] = self.run_node(node)
        for done in self.user_to_last_uses.get(node, []):
            del self.env[done]

    def reload(self, tensors: Mapping[str, Tensor]) -> None:
        """Replace attributes that were read at the start of the graph by ``tensors``."""
        for node in self.env:
            if node.op == "get_attr" and str(node.target) in tensors:
                self.env[node] = tensors[str(node.target)]
