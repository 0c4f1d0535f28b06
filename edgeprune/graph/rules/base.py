"""Base class of the rules for families of operators, and their registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from torch import Tensor

from edgeprune.graph.coupling import Coupling
from edgeprune.graph.index_labels import Labels
from edgeprune.graph.operator_call import Call

Keep = Mapping[int, Tensor]
"""For each dimension that loses indices: a boolean mask of those that stay."""

TARGET = "target"
"""Key of ``resize`` for the operator to call instead; no operator has an argument of this name."""


class Rule:
    """One family of operators. A rule holds no state: one instance serves every call."""

    ops: ClassVar[tuple[str, ...]] = ()
    """Operators without overload and in-place underscore, such as ``aten.conv2d``."""

    def couple(self, call: Call, coupling: Coupling) -> Labels | list[Labels]:
        """Tell ``coupling`` what the call ties, freezes, multiplies and sums over; returns its outputs' labels."""
        raise NotImplementedError

    def resize(self, call: Call, keep: Mapping[str, Keep], out: Sequence[Keep]) -> Mapping[str, Any]:
        """Arguments that change when indices are removed (sizes, numbers of groups); ``TARGET`` names another operator.

        ``keep`` holds the masks of each tensor argument by name, ``out`` those of each output.
        """
        return {}

    def held(self, call: Call, out: Sequence[Keep]) -> Mapping[str, Any]:
        """Sizes that a module of torch keeps for the call beside its weights, which may be none to read them off.

        ``out`` holds the masks of each output. Like ``resize`` it is asked only where indices are removed.
        """
        return {}


_rules: dict[str, Rule] = {}
R = TypeVar("R", bound=type[Rule])


def register(rule: R) -> R:
    """Class decorator: use the rule for its ``ops``."""
    for op in rule.ops:
        assert op not in _rules, f"two rules for {op}: {_rules[op]}, {rule}"
        _rules[op] = rule()
    return rule


def aten(names: str) -> tuple[str, ...]:
    """Operator names from a list of words: ``"relu gelu"`` -> ``("aten.relu", "aten.gelu")``."""
    return tuple(f"aten.{name}" for name in names.split())


def rule_for(op: str) -> Rule | None:
    return _rules.get(op)


def registered() -> Mapping[str, Rule]:
    """All operators with a rule."""
    return dict(_rules)


def left(keep: Keep | None, dim: int, size: int) -> int:
    """How many of ``size`` indices along ``dim`` stay."""
    mask = (keep or {}).get(dim)
    return size if mask is None else int(mask.sum())
