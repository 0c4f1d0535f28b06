"""One thing that a linter tells of a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "note"]
"""``error``: it will not run there; ``warning``: it runs, but worse than it could; ``note``: worth knowing."""

_MOST_SHOWN = 48
"""Characters of a name; fused layers carry the names of all that went into them."""


def shortened(name: str) -> str:
    """``name`` as a line has room for it."""
    return name if len(name) <= _MOST_SHOWN else f"{name[:_MOST_SHOWN]}..."


@dataclass(frozen=True)
class Finding:
    """A finding: the problem, its place, and a remedy.

    Attributes:
        level: How bad it is.
        code: A short name of the kind of finding, the same in every release.
        message: What is so.
        remedy: What to do.
        op: Index of the operator in its graph; None where the whole file is meant.
        operator: Its kind, a name of the schema's ``BuiltinOperator``; empty where there is no operator.
        tensor: Name of the tensor that it writes, or that is meant.
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
        """For people."""
        graph = f"graph {self.graph}, " if self.graph else ""
        parts = (f"{graph}op {self.op}" if self.op is not None else "", self.operator, shortened(self.tensor))
        return " ".join(part for part in parts if part) or "file"
