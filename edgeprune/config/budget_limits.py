"""Budget of a recipe: limits for pruning, and limits on the result, also by target."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from edgeprune.config.budget import COSTS, Budget, Costs, absolute, checked_amount
from edgeprune.config.settings_base import Settings, nearest
from edgeprune.errors import RecipeError
from edgeprune.evidence import Evidence

ACCURACY = "accuracy"
_PREDICTED = "predicted"
_ARENA = "arena_bytes"
_DROP = re.compile(r"drop (\d+(?:\.\d+)?) ?(%?)")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?) ?%")


@dataclass(frozen=True)
class BudgetConstraint:
    """Limit on a value of the result, which is checked when the value is known.

    Attributes:
        name: Name of the value: ``accuracy``, ``latency_ms.p95``, ``memory_bytes`` or ``file_bytes``.
        limit: Limit from the recipe: a fraction of dense, an amount, or text.
    """

    name: str
    limit: float | str

    def resolved(self, dense: float | None) -> float:
        """Return the limit in the unit of the value: a lower limit for accuracy, an upper limit for other values.

        Args:
            dense: Value of the dense network, to which fractions and drops refer; None: unknown.

        Raises:
            RecipeError: The limit is relative to dense, and ``dense`` is None.
        """
        if self.name != ACCURACY:
            return absolute(self.name, self.limit, dense)
        if not isinstance(self.limit, str):
            return self.limit
        drop = _DROP.fullmatch(self.limit)
        if drop is None:
            return float(self.limit.rstrip("% ")) / 100
        if dense is None:
            raise RecipeError(
                f"'budget.{self.name}': got '{self.limit}', which refers to the dense network's {self.name}, which is "
                "unknown: set an absolute limit such as 0.985"
            )
        return dense - float(drop[1]) / (100 if drop[2] else 1)


class LatencyLimits(Settings):
    """Limits of latency: of the prediction during pruning, and of measured statistics in a profile.

    Attributes:
        predicted: Limit of the latency predicted by the target's latency table; ``latency_ms = 0.6`` is the same as
            ``latency_ms.predicted = 0.6``.
        p50: Limit of the measured median. Fractions refer to the dense network on the same device.
        p90: Limit of the measured 90th percentile.
        p95: Limit of the measured 95th percentile.
        p99: Limit of the measured 99th percentile.
        min: Limit of the shortest measured latency.
        mean: Limit of the measured mean.
    """

    predicted: float | int | str | None = None
    p50: float | int | str | None = None
    p90: float | int | str | None = None
    p95: float | int | str | None = None
    p99: float | int | str | None = None
    min: float | int | str | None = None
    mean: float | int | str | None = None

    @field_validator("*", mode="before")
    @classmethod
    def _is_time(cls, value: object) -> float | int | str | None:
        return checked_amount("latency_ms", value)


def _as_table(value: Any) -> Any:
    """Convert ``latency_ms = 0.6`` to a table with the limit of the prediction."""
    return value if isinstance(value, Mapping | LatencyLimits) else {_PREDICTED: value}


class _Limits(Costs):
    """Keys and values of a table of limits."""

    latency_ms: Annotated[LatencyLimits, BeforeValidator(_as_table)] = LatencyLimits()
    accuracy: float | str | None = None
    file_bytes: float | int | str | None = None
    memory_bytes: float | int | str | None = None
    require: Literal["estimated", "emulated", "measured"] | None = None

    @field_validator("file_bytes", "memory_bytes", mode="before")
    @classmethod
    def _is_size(cls, value: object, info: ValidationInfo) -> float | int | str | None:
        return checked_amount(str(info.field_name), value)

    @field_validator("accuracy", mode="before")
    @classmethod
    def _is_minimum_or_drop(cls, value: object) -> object:
        if isinstance(value, str):
            is_valid = (_DROP.fullmatch(value) or _PERCENT.fullmatch(value)) is not None
        else:
            is_valid = value is None or (isinstance(value, int | float) and not isinstance(value, bool))
        if not is_valid:
            raise ValueError("a minimum such as 0.985 or '98.5%', or a maximum drop such as 'drop 0.5%'")
        return value

    def settings(self) -> dict[str, Any]:
        """Return the limits and ``require`` by dotted key, without those that are not set."""
        values = self.model_dump(exclude_none=True, exclude={"targets"})
        latency = values.pop("latency_ms", {})
        return {**values, **{f"latency_ms.{name}": limit for name, limit in latency.items()}}


class TargetLimits(_Limits):
    """``[budget.targets.NAME]``: limits that hold for one target instead of those for all, with the same keys."""


class RecipeBudget(_Limits):
    """``[budget]`` table of a recipe. Pruning satisfies the limits of costs; all limits are checked on the result.

    Attributes:
        macs: Multiply-accumulate operations of one forward pass with batch size 1. A number up to 1 is a fraction of
            the dense network, a larger number or text with a unit is absolute; this holds for all costs.
        params: Number of parameters.
        peak_activation_bytes: Maximum size of all activations at one time.
        flash_bytes: Size of the exported weights; on a microcontroller, of the model file, TFLite Micro and its
            kernels.
        arena_bytes: Size of the tensor arena of TFLite Micro, on a microcontroller.
        accuracy: Minimum accuracy of the selected model file (``0.985``, ``"98.5%"``), or maximum drop in points below
            the dense network (``"drop 0.5%"``, ``"drop 0.005"``).
        latency_ms: Limit of the predicted latency, or a table of limits on a profile: ``latency_ms.p95 = "5ms"``.
        file_bytes: Maximum size of the selected model file; a fraction refers to the file of the dense network.
        memory_bytes: Maximum peak memory of the process in a profile, minus that of the runtime without a model.
        require: Weakest provenance that satisfies a limit: ``measured``, ``emulated`` (on an emulator of the board) or
            ``estimated``. None: any.
        targets: Limits for one target in place of the general ones, by its name or alias.
    """

    targets: Annotated[Mapping[str, TargetLimits], Field(strict=False)] = {}

    @model_validator(mode="after")
    def _limits_some_cost(self) -> RecipeBudget:
        if not self._cost_limits:
            raise ValueError(f"a table with a limit of at least one cost that pruning can reduce: {', '.join(COSTS)}")
        return self

    @property
    def _cost_limits(self) -> dict[str, Any]:
        return {
            name: limit
            for name in COSTS
            if (limit := self.latency_ms.predicted if name == "latency_ms" else getattr(self, name)) is not None
        }

    @property
    def pruning_targets(self) -> Budget:
        """Budget of costs that pruning must satisfy."""
        return Budget(**self._cost_limits)

    @property
    def constraints(self) -> tuple[BudgetConstraint, ...]:
        """Limits that are only checked, and limits of pruned costs that must be measured on a board."""
        cost_names = {_PREDICTED if name == "latency_ms" else name for name in self._cost_limits}
        if self.required != "estimated":
            cost_names.discard(_ARENA)
        return tuple(
            BudgetConstraint(name, limit)
            for name, limit in self.settings().items()
            if name != "require" and name.removeprefix("latency_ms.") not in cost_names
        )

    @property
    def required(self) -> Evidence:
        """Weakest provenance that satisfies a limit."""
        return self.require or "estimated"

    def for_target(self, *names: str) -> RecipeBudget:
        """Return the budget of the target with any of ``names``: its own limits override the general ones."""
        values = self.settings()
        for name, limits in self.targets.items():
            if name in names:
                values |= limits.settings()
        return RecipeBudget.model_validate(_nested(values))

    def check_targets(self, exists: Callable[[str], bool], names: list[str]) -> None:
        """Check that every table of a target belongs to an existing target.

        Args:
            exists: Function that returns whether a target exists.
            names: Names of the targets, for suggestions.

        Raises:
            RecipeError: A table has the name of an unknown target.
        """
        for name in self.targets:
            if not exists(name):
                near = nearest(name, names)
                hint = f"did you mean '{near}'?" if near else f"known targets: {', '.join(names)}"
                raise RecipeError(f"'budget.targets.{name}': unknown target '{name}'; {hint}")

    def check_evidence(self) -> None:
        """Check that every limit can have the required provenance.

        Raises:
            RecipeError: A limit is on a value that is always estimated.
        """
        if self.required == "estimated":
            return
        ways = {
            "latency_ms": "predicted from a table: set a limit of the measured latency, such as budget.latency_ms.p50",
            "flash_bytes": "counted from the weights before export: set budget.file_bytes instead",
        }
        for name in self._cost_limits.keys() & ways.keys():
            raise RecipeError(f"'budget.{name}': budget.require is '{self.required}', but {name} is {ways[name]}")


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    tables: dict[str, Any] = {}
    for key, value in values.items():
        table, dot, last = key.partition(".")
        if dot:
            tables.setdefault(table, {})[last] = value
        else:
            tables[key] = value
    return tables
