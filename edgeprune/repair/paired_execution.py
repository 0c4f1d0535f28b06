"""The dense and the pruned network side by side, one call at a time over all batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, fx

from edgeprune.graph import Units
from edgeprune.graph.masked_execution import MaskedProgram


class PairedExecution:
    """Runs ``batches`` through both networks, so that a layer can be refitted before anything behind it is computed.

    What later calls need is held for all batches: twice the live activations of the samples.

    Args:
        units: Of the dense program.
        removed: Mask of the units that the pruned network lacks, (units,).
        batches: Flat inputs of each batch.
    """

    def __init__(self, units: Units, removed: Tensor, batches: list[list[Any]]) -> None:
        self.state: dict[str, Tensor] = {}
        none = torch.zeros_like(removed)
        self._dense = [_Run(units, none, {}, inputs) for inputs in batches]
        self._pruned = [_Run(units, removed, self.state, inputs) for inputs in batches]
        self._graph = units.coordinates.program.graph

    def calls(self) -> Iterator[fx.Node]:
        """Every node in order, each before it is run."""
        for node in self._graph.nodes:
            if node.op == "output":
                return
            yield node
            with torch.no_grad():
                for run in (*self._dense, *self._pruned):
                    run.step(node)

    def inputs(self, node: fx.Node, argument: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs of the next call in each batch: of the pruned network (zeros for removed units), and of the dense."""
        for dense, pruned in zip(self._dense, self._pruned, strict=True):
            yield pruned.arguments(node)[argument], dense.arguments(node)[argument]

    def change(self, tensors: Mapping[str, Tensor]) -> None:
        """Use ``tensors``, of dense shape, in the pruned network from here on."""
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
        """Attributes are read where the graph begins, so those that change later are put in place here."""
        for node in self.env:
            if node.op == "get_attr" and str(node.target) in tensors:
                self.env[node] = tensors[str(node.target)]
