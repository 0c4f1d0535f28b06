"""The graph engine: capture, coordinates, units, rewrite and equivalence check, independent of importance and cost."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from edgeprune.graph.capture import Example, Program, capture
from edgeprune.graph.coordinates import follow
from edgeprune.graph.equivalence import Equivalence, shrink, verify_equivalence
from edgeprune.graph.optimizer_state import check_optimizer
from edgeprune.graph.remaining_states import state_shapes
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
    "state_shapes",
    "units_of",
    "verify_equivalence",
]


def units_of(program: Program, *, exclude: Sequence[str] = (), attention: str = "heads") -> Units:
    """Return the units of a captured program: the smallest sets of coupled channels that can be removed together.

    Args:
        program: Captured network.
        exclude: Globs over names of layers and parameters (``head``, ``layer1.*``) that are not pruned.
        attention: Channels to remove where they are split into heads: whole ``heads``, or the same ``head_dim``
            positions of each head.
    """
    return group_units(follow(program, exclude=exclude, attention=attention))


def groups(
    model: nn.Module, example: Example, *, exclude: Sequence[str] = (), attention: str = "heads"
) -> tuple[Group, ...]:
    """Return the groups of ``model``: prunable units, their couplings, and the reasons of frozen groups.

    Args:
        model: Dense network.
        example: Tuple of positional inputs, or mapping of keyword inputs.
        exclude: Globs over names of layers and parameters that are not pruned.
        attention: ``heads`` or ``head_dim``, as in ``units_of``.
    """
    return units_of(capture(unwrap(model), example), exclude=exclude, attention=attention).groups
