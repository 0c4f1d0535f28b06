"""The budget of a recipe: limits that pruning aims for, and limits on what came out, also by target."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

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
    """A limit on what came out, judged when it is known.

    Attributes:
        name: What is limited: ``accuracy``, ``latency_ms.p95``, ``memory_bytes``, ``file_bytes``.
        limit: As it was given: a share of dense, an amount, or text.
    """

    name: str
    limit: float | str

    def resolved(self, dense: float | None) -> float:
        """The limit in the unit of the value: a lower one for accuracy, an upper one for all else.

        Args:
            dense: What the dense network has; shares and drops are of it.

        Raises:
            RecipeError: It is relative to dense, and that is not known.
        """
        if self.name != ACCURACY:
            return absolute(self.name, self.limit, dense)
        if not isinstance(self.limit, str):
            return self.limit
        drop = _DROP.fullmatch(self.limit)
        if drop is None:
            return float(self.limit.rstrip("% ")) / 100
        if dense is None:
            raise RecipeError(f"'budget.{self.name}': '{self.limit}' is below dense, whose accuracy is not known here")
        return dense - float(drop[1]) / (100 if drop[2] else 1)


class LatencyLimits(Settings):
    """Limits of latency: one that pruning aims for, and those of statistics that a profile holds.

    Attributes:
        predicted: By the target's latency table; ``latency_ms = 0.6`` is the same as ``latency_ms.predicted = 0.6``.
        p50: Median of what was measured; p90, p95, p99, min and mean likewise. Shares are of the dense network's, on
            the same device.
    """

    predicted: float | int | str | None = None
    p50: float | int | str | None = None
    p90: float | int | str | None = None
    p95: float | int | str | None = None
    p99: float | int | str | None = None
    min: float | int | str | None = None
    mean: float | int | str | None = None

    @field_validator("*")
    @classmethod
    def _share_or_time(cls, value: float | str | None) -> float | int | str | None:
        return checked_amount("latency_ms", value)


def _as_table(value: Any) -> Any:
    """``latency_ms = 0.6`` is the limit that pruning aims for."""
    return value if isinstance(value, Mapping | LatencyLimits) else {_PREDICTED: value}


class _Limits(Costs):
    """Keys and values of a table of limits."""

    latency_ms: Annotated[LatencyLimits, BeforeValidator(_as_table)] = LatencyLimits()
    accuracy: float | str | None = None
    file_bytes: float | int | str | None = None
    memory_bytes: float | int | str | None = None
    require: Literal["estimated", "emulated", "measured"] | None = None

    @field_validator("file_bytes", "memory_bytes")
    @classmethod
    def _share_or_size(cls, value: float | str | None, info: Any) -> float | int | str | None:
        return checked_amount(info.field_name, value)

    @field_validator("accuracy")
    @classmethod
    def _least_or_drop(cls, value: float | str | None) -> float | str | None:
        if isinstance(value, str) and not (_DROP.fullmatch(value) or _PERCENT.fullmatch(value)):
            raise ValueError("the least there may be, such as 0.985 or '98.5%', or 'drop 0.5%': points below dense")
        return value

    def given(self) -> dict[str, Any]:
        """The limits that are set, by dotted key, with what is required of them."""
        values = self.model_dump(exclude_none=True, exclude={"targets"})
        latency = values.pop("latency_ms", {})
        return {**values, **{f"latency_ms.{name}": limit for name, limit in latency.items()}}


class TargetLimits(_Limits):
    """``[budget.targets.NAME]``: limits that hold for one target instead of those for all."""


class RecipeBudget(_Limits):
    """``[budget]`` of a recipe. Limits of costs are what pruning aims for; all limits are judged in the end.

    Attributes:
        accuracy: Of the shipped file: the least there may be (``0.985``, ``"98.5%"``), or how many points less than the
            dense network has (``"drop 0.5%"``, ``"drop 0.005"``).
        latency_ms: A limit on the prediction, or a table of limits on what a profile says: ``latency_ms.p95 = "5ms"``.
        file_bytes: Of the shipped model file; a share is of the dense network's.
        memory_bytes: Peak of the process over that of the runtime alone, as a profile says.
        require: The weakest evidence that counts: ``measured``, ``emulated`` (on an emulator of the board) or
            ``estimated``. None: any.
        targets: Limits that hold for one target instead, by its name or alias.
    """

    targets: Annotated[Mapping[str, TargetLimits], Field(strict=False)] = {}

    @model_validator(mode="after")
    def _aims_for_something(self) -> RecipeBudget:
        if not self._aims:
            raise ValueError(
                f"at least one limit that pruning can aim for: {', '.join(COSTS)} (macs = 0.5: half of dense)"
            )
        return self

    @property
    def _aims(self) -> dict[str, Any]:
        return {
            name: limit
            for name in COSTS
            if (limit := self.latency_ms.predicted if name == "latency_ms" else getattr(self, name)) is not None
        }

    @property
    def aims(self) -> Budget:
        """Budget of costs that pruning aims for."""
        return Budget(**self._aims)

    @property
    def gates(self) -> tuple[BudgetConstraint, ...]:
        """Limits that are only checked, and limits of pruned costs that must be measured on a board."""
        aims = {_PREDICTED if name == "latency_ms" else name for name in self._aims}
        if self.required != "estimated":
            aims.discard(_ARENA)
        return tuple(
            BudgetConstraint(name, limit)
            for name, limit in self.given().items()
            if name != "require" and name.removeprefix("latency_ms.") not in aims
        )

    @property
    def required(self) -> Evidence:
        """The weakest evidence that counts."""
        return self.require or "estimated"

    def for_target(self, *names: str) -> RecipeBudget:
        """The budget of one target, which is called any of ``names``: its own limits in place of those for all."""
        values = self.given()
        for name, limits in self.targets.items():
            if name in names:
                values |= limits.given()
        return RecipeBudget.model_validate(_nested(values))

    def check_targets(self, known: Callable[[str], bool], names: list[str]) -> None:
        """Tell a table of a target that there is not: its limits would hold for nothing.

        Args:
            known: Whether there is such a target.
            names: Of targets, for the one that was meant.

        Raises:
            RecipeError: There is one.
        """
        for name in self.targets:
            if not known(name):
                near = nearest(name, names)
                hint = f"did you mean '{near}'?" if near else f"known targets: {', '.join(names)}"
                raise RecipeError(f"'budget.targets.{name}': there is no such target; {hint}")

    def check_evidence(self) -> None:
        """Tell a limit that can never be kept with what is required of it.

        Raises:
            RecipeError: There is one.
        """
        if self.required == "estimated":
            return
        ways = {
            "latency_ms": "is predicted by a table; limit what a profile says: budget.latency_ms.p50",
            "flash_bytes": "is counted from the weights before there is a file; limit budget.file_bytes",
        }
        for name in self._aims.keys() & ways.keys():
            raise RecipeError(
                f"'budget.{name}' is estimated, and budget.require asks for {self.required}: it {ways[name]}"
            )


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    tables: dict[str, Any] = {}
    for key, value in values.items():
        table, dot, last = key.partition(".")
        if dot:
            tables.setdefault(table, {})[last] = value
        else:
            tables[key] = value
    return tables
