"""Base class of the rules for families of operators, and their registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from torch import Tensor

from edgeprune.graph.coupling import Coupling
from edgeprune.graph.index_labels import Labels
from edgeprune.graph.operator_call import Call

Keep = Mapping[int, Tensor]
"""Boolean mask of the remaining indices of each dimension that loses indices."""

TARGET = "target"
"""Key of ``resize`` for the operator to call instead. No operator has an argument with this name."""


class Rule:
    """Rule of one family of operators. A rule has no state, and one instance is used for all calls."""

    ops: ClassVar[tuple[str, ...]] = ()
    """Operators without overload and in-place underscore, such as ``aten.conv2d``."""
    first_state: ClassVar[int | None] = None
    """Number of the first result that is the final state of a recurrent layer, whose initial state is argument 1."""

    def couple(self, call: Call, coupling: Coupling) -> Labels | list[Labels]:
        """Record the ties, freezes, multiplications and sums of the call in ``coupling``. Return the output labels."""
        raise NotImplementedError

    def resize(self, call: Call, keep: Mapping[str, Keep], out: Sequence[Keep]) -> Mapping[str, Any]:
        """Return the arguments that change when indices are removed, such as sizes and numbers of groups.

        ``keep`` contains the masks of each tensor argument by name, ``out`` those of each output. The key ``TARGET``
        names another operator to call.
        """
        return {}

    def module_attributes(self, call: Call, out: Sequence[Keep]) -> Mapping[str, Any]:
        """Return the size attributes of the torch module of the call that cannot be derived from weights.

        ``out`` contains the masks of each output. Like ``resize``, it is called only if indices are removed.
        """
        return {}


_rules: dict[str, Rule] = {}
R = TypeVar("R", bound=type[Rule])


def register(rule: R) -> R:
    """Register the rule for its ``ops``. Use it as a class decorator."""
    for op in rule.ops:
        assert op not in _rules, f"two rules for {op}: {_rules[op]}, {rule}"
        _rules[op] = rule()
    return rule


def aten(names: str) -> tuple[str, ...]:
    """Return operator names for a list of words: ``"relu gelu"`` -> ``("aten.relu", "aten.gelu")``."""
    return tuple(f"aten.{name}" for name in names.split())


def rule_for(op: str) -> Rule | None:
    return _rules.get(op)


def registered() -> Mapping[str, Rule]:
    """Return the rule of each operator that has one."""
    return dict(_rules)


def remaining_size(keep: Keep | None, dim: int, size: int) -> int:
    """Return the number of remaining indices of the ``size`` indices along ``dim``."""
    mask = (keep or {}).get(dim)
    return size if mask is None else int(mask.sum())
