"""One operator call of a program, with its arguments by their schema names."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils.flop_counter import FlopCounterMode

from edgeprune.graph.capture import Program
from edgeprune.graph.graph_operators import argument_names, bind_arguments, operator_name
from edgeprune.graph.index_labels import Labels

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Call:
    """Operator call of a program.

    Attributes:
        program: Program that contains the call.
        node: Node of the call.
        node_labels: Labels of the nodes before this one.
    """

    program: Program
    node: fx.Node
    node_labels: Mapping[fx.Node, Any]

    @cached_property
    def name(self) -> str:
        """Name of the operator, without overload and in-place underscore: ``aten.relu``."""
        return operator_name(self.node.target)

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """Arguments by schema name, including defaults. Tensors are nodes, sizes are concrete numbers."""
        bound = bind_arguments(self.node.target, self.node.args, self.node.kwargs)
        return {name: self.program.concrete(value) for name, value in bound.items()}

    @cached_property
    def first(self) -> str:
        """Name of the first argument of the operator."""
        return argument_names(self.node.target)[0]

    @property
    def many(self) -> bool:
        """Whether the call returns several tensors."""
        return isinstance(self.node.meta.get("val"), (list, tuple))

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def get(self, name: str, default: Any = None) -> Any:
        return self.arguments.get(name, default)

    def labels(self, name: str) -> Labels | None:
        """Return the labels of a tensor argument, or None if it is missing or not a tensor."""
        return self.labels_of(self.arguments.get(name))

    def labels_of(self, value: Any) -> Labels | None:
        labels = self.node_labels.get(value) if isinstance(value, fx.Node) else None
        return labels if isinstance(labels, Labels) else None

    def tensor(self, name: str) -> Labels:
        """Return the labels of a required tensor argument."""
        labels = self.labels(name)
        assert labels is not None, f"{self.name} without a tensor {name!r}"
        return labels

    def shape(self, name: str) -> tuple[int, ...]:
        return self.tensor(name).shape

    @cached_property
    def tensors(self) -> list[Labels]:
        """Labels of all tensor arguments, including those in lists, in order."""
        nodes: list[Labels] = []
        for value in self.arguments.values():
            for item in value if isinstance(value, (list, tuple)) else (value,):
                labels = self.labels_of(item)
                if labels is not None:
                    nodes.append(labels)
        return nodes

    @cached_property
    def out_shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the output tensors of the call."""
        value = self.node.meta.get("val")
        values = value if isinstance(value, (list, tuple)) else [value]
        return [tuple(self.program.concrete(size) for size in v.shape) for v in values if isinstance(v, Tensor)]

    @property
    def out_shape(self) -> tuple[int, ...]:
        return self.out_shapes[0]

    @property
    def macs(self) -> int:
        """Multiply-adds of the call; see ``macs_of``."""
        return macs_of(self.program, self.node)


def macs_of(program: Program, node: fx.Node) -> int:
    """Return the multiply-adds of a call as torch counts them; 0 for an operator that torch cannot run without data.

    Rules count the MACs of the calls that can be pruned.
    """

    def without_data(source: fx.Node) -> Any:
        value = source.meta.get("val")
        if not isinstance(value, Tensor):
            return program.concrete(source)
        return torch.empty(program.shape(source) or (), dtype=value.dtype, device="meta")

    args, kwargs = fx.node.map_arg((node.args, node.kwargs), without_data)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        try:
            node.target(*program.concrete(args), **kwargs)  # type: ignore[operator]
        except Exception as error:  # noqa: BLE001 - operators of any package
            logger.debug("the MACs of %s are not counted: %s", operator_name(node.target), error)
    return int(counter.get_total_flops()) // 2
