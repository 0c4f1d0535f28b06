"""Table ``[prune]`` of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from edgeprune.config.setting_types import Amount
from edgeprune.config.settings_base import Settings

_Repair = Literal["constants", "bias", "least_squares", "recalibrate"]


class LayerSettings(Settings):
    """Settings of some layers: a ``[[prune.layers]]`` table. The last match that sets a key takes precedence.

    Attributes:
        match: Glob pattern on group names, and on the layers or parameters that make a group.
        min_units: Minimum of remaining units: a fraction of the group in (0, 1], or a number of units above 1.
        max_units: Maximum of remaining units, whatever the budget: a fraction in (0, 1], or a number above 1.
        align: The group keeps a multiple of this number of channels, or all.
        exclude: Whether to exclude the group from pruning.
    """

    match: Annotated[str, Field(min_length=1)]
    min_units: Amount | None = None
    max_units: Amount | None = None
    align: Annotated[int, Field(ge=1)] | None = None
    exclude: bool | None = None

    @model_validator(mode="after")
    def _says_something(self) -> LayerSettings:
        if self.model_fields_set <= {"match"}:
            raise ValueError("a table that sets at least one of min_units, max_units, align, exclude")
        return self


class PruneSettings(Settings):
    """Choice of the units to remove: the ``[prune]`` table of a recipe.

    ``edgeprune.PruneOptions`` has the same settings for ``edgeprune.prune`` and ``Schedule.attach``.

    Attributes:
        criterion: Name of the importance score, see ``edgeprune criteria``, or ``file.py:Class`` for your own.
            ``auto`` compares several on validation data (docs/selection.md).
        criterion_options: Arguments of the constructor of the criterion.
        selection: Method that turns scores into a plan, or ``file.py:Class`` for your own. ``global`` compares units of
            all groups, ``uniform`` removes the same fraction of each group, ``knapsack`` keeps the most importance,
            ``sensitivity`` loses the least measured accuracy. ``auto`` compares ``global`` with several options.
        selection_options: Arguments of the constructor of the selection.
        repair: Repairs of the pruned network before training: ``auto``, or any of ``constants``, ``bias``,
            ``least_squares`` and ``recalibrate``; an empty list disables repair.
        samples: Maximum number of samples that scores, sensitivity curves and repairs are computed from, at least 1.
        exclude: Glob patterns on parameter or layer names that must not be pruned.
        min_units: Minimum of remaining units of each group: a fraction in (0, 1], or a number of units above 1. None:
            one index of every dimension.
        align: Each group keeps a multiple of this number of channels, or all channels; 1 allows any number. ``target``
            is the multiple that the target's runtime prefers, where groups are wide enough and the budget allows it;
            ``auto`` compares the preferred multiple with any number.
        layers: Settings of single layers, which override the settings above.
        attention: ``heads`` removes whole attention heads, ``head_dim`` the same positions of every head.
        verify: Whether to check that the pruned network is equivalent to the dense one without the removed units.
    """

    criterion: str = "auto"
    criterion_options: Mapping[str, Any] = {}
    selection: str = "auto"
    selection_options: Mapping[str, Any] = {}
    repair: Literal["auto"] | Annotated[tuple[_Repair, ...], Field(strict=False)] = "auto"
    samples: Annotated[int, Field(ge=1)] = 1024
    exclude: Annotated[tuple[str, ...], Field(strict=False)] = ()
    min_units: Amount | None = None
    align: Literal["auto", "target"] | Annotated[int, Field(ge=1)] = "auto"
    layers: Annotated[tuple[LayerSettings, ...], Field(strict=False)] = ()
    attention: Literal["heads", "head_dim"] = "heads"
    verify: bool = True
