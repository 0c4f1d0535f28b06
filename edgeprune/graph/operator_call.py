"""One operator call of a program, with its arguments by their schema names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor, fx

from edgeprune.graph.capture import Program
from edgeprune.graph.graph_operators import argument_names, bind_arguments, operator_name
from edgeprune.graph.index_labels import Labels


@dataclass(frozen=True)
class Call:
    """``labels`` are those of every node before this one."""

    program: Program
    node: fx.Node
    known: Mapping[fx.Node, Any]

    @cached_property
    def name(self) -> str:
        """The operator without overload and without the underscore of its in-place form: ``aten.relu``."""
        return operator_name(self.node.target)

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """Arguments by schema name, defaults filled in; tensors are nodes, sizes concrete numbers."""
        bound = bind_arguments(self.node.target, self.node.args, self.node.kwargs)
        return {name: self.program.concrete(value) for name, value in bound.items()}

    @cached_property
    def first(self) -> str:
        """Name of the operator's first argument."""
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
        """Labels of a tensor argument; None where it was left out or is no tensor."""
        return self.labels_of(self.arguments.get(name))

    def labels_of(self, value: Any) -> Labels | None:
        found = self.known.get(value) if isinstance(value, fx.Node) else None
        return found if isinstance(found, Labels) else None

    def tensor(self, name: str) -> Labels:
        """Labels of a tensor argument that the operator always has."""
        labels = self.labels(name)
        assert labels is not None, f"{self.name} without a tensor {name!r}"
        return labels

    def shape(self, name: str) -> tuple[int, ...]:
        return self.tensor(name).shape

    @cached_property
    def tensors(self) -> list[Labels]:
        """Labels of all tensor arguments, those in lists included, in order."""
        nodes: list[Labels] = []
        for value in self.arguments.values():
            for item in value if isinstance(value, (list, tuple)) else (value,):
                labels = self.labels_of(item)
                if labels is not None:
                    nodes.append(labels)
        return nodes

    @cached_property
    def out_shapes(self) -> list[tuple[int, ...]]:
        """Shapes of what the call returns, one for each tensor."""
        value = self.node.meta.get("val")
        values = value if isinstance(value, (list, tuple)) else [value]
        return [tuple(self.program.concrete(size) for size in v.shape) for v in values if isinstance(v, Tensor)]

    @property
    def out_shape(self) -> tuple[int, ...]:
        return self.out_shapes[0]
