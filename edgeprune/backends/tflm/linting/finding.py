"""Finding of the linter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "note"]
"""``error``: the file does not run there; ``warning``: it runs inefficiently; ``note``: for information."""

_MOST_SHOWN = 48
"""Largest printed length of a name, in characters. The name of a fused layer joins those of all its layers."""


def shortened(name: str) -> str:
    """Shorten ``name`` so that it fits on a line."""
    return name if len(name) <= _MOST_SHOWN else f"{name[:_MOST_SHOWN]}..."


@dataclass(frozen=True)
class Finding:
    """A problem, its location, and a remedy.

    Attributes:
        level: Severity.
        code: Short name of the kind of finding, the same in every release.
        message: Description of the problem.
        remedy: Suggested change.
        op: Index of the operator in its graph; None if the finding concerns the whole file.
        operator: Name of the operator in the schema's ``BuiltinOperator``; empty without an operator.
        tensor: Name of the output of the operator, or of the tensor that has the problem.
        graph: Index of the graph.
    """

    level: Level
    code: str
    message: str
    remedy: str
    op: int | None = None
    operator: str = ""
    tensor: str = ""
    graph: int = 0

    @property
    def where(self) -> str:
        """Location in readable form: graph, operator and tensor."""
        graph = f"graph {self.graph}, " if self.graph else ""
        parts = (f"{graph}op {self.op}" if self.op is not None else "", self.operator, shortened(self.tensor))
        return " ".join(part for part in parts if part) or "file"
