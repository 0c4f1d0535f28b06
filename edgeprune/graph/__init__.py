"""The graph engine: capture, coordinates, units, rewrite and equivalence check, independent of importance and cost."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from edgeprune.graph.capture import Example, Program, capture
from edgeprune.graph.coordinates import follow
from edgeprune.graph.equivalence import Equivalence, shrink, verify_equivalence
from edgeprune.graph.optimizer_state import check_optimizer
from edgeprune.graph.rewrite import RewrittenModel
from edgeprune.graph.units import Group, Member, Units, group_units
from edgeprune.model.module_wrappers import unwrap

__all__ = [
    "Equivalence",
    "Example",
    "Group",
    "Member",
    "Program",
    "RewrittenModel",
    "Units",
    "capture",
    "check_optimizer",
    "groups",
    "shrink",
    "units_of",
    "verify_equivalence",
]


def units_of(program: Program, *, exclude: Sequence[str] = (), attention: str = "heads") -> Units:
    """Units of a captured program that can be removed, with all that is coupled to them.

    ``exclude`` holds globs over layer and parameter names (``head``, ``layer1.*``) that must stay whole. ``attention``
    says what is removed where channels are split in heads: whole ``heads``, or the same ``head_dim`` in each.
    """
    return group_units(follow(program, exclude=exclude, attention=attention))


def groups(
    model: nn.Module, example: Example, *, exclude: Sequence[str] = (), attention: str = "heads"
) -> tuple[Group, ...]:
    """The groups of ``model``: what could be pruned, what is coupled to what, what is frozen and why.

    ``example`` is a tuple of positional inputs, or a mapping of keyword inputs.
    """
    return units_of(capture(unwrap(model), example), exclude=exclude, attention=attention).groups
