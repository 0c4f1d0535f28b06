"""Warnings about the result of a build: lost accuracy, and unused budget."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from edgeprune.bundle.budget_report import BudgetReport
from edgeprune.bundle.manifest import Manifest
from edgeprune.config.budget import COSTS
from edgeprune.report import accuracy_intervals, quantity_text
from edgeprune.report.quantity_text import format_quantity
from edgeprune.report.regression_limits import ACCURACY

_LARGEST_LOSS = 0.05
"""Fraction that a metric other than accuracy may lose without a warning, because its interval is not known."""
LEAST_USE = 0.95
"""Used fraction of the tightest budget below which a warning is given."""
_MORE_BUDGET = 1.2


@dataclass(frozen=True)
class ResultWarning:
    """Warning about the result of a build.

    Attributes:
        code: Identifier of the warning, ``accuracy_lost`` or ``budget_unused``.
        message: Sentence with the values.
        values: Values by name, for JSON.
        suggestions: Suggested changes, each with the option of ``edgeprune build``.
    """

    code: Literal["accuracy_lost", "budget_unused"]
    message: str
    values: Mapping[str, float | str]
    suggestions: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """Message, followed by the suggestions."""
        return f"{self.message}; try {', or '.join(self.suggestions)}"


def result_warnings(manifest: Manifest) -> tuple[ResultWarning, ...]:
    """Return all warnings about the bundle of ``manifest``."""
    warnings = (_accuracy_lost(manifest), _budget_unused(manifest))
    return tuple(warning for warning in warnings if warning is not None)


def budget_use(budgets: Iterable[BudgetReport]) -> tuple[str, float] | None:
    """Return the name and the used fraction of the tightest budget of a pruning cost; None without such a budget."""
    used = {
        report.name: report.value / report.limit
        for report in budgets
        if report.name in COSTS and report.value is not None and report.limit > 0
    }
    return max(used.items(), key=lambda item: item[1]) if used else None


def _accuracy_lost(manifest: Manifest) -> ResultWarning | None:
    """Return a warning if the shipped model is significantly less accurate than the dense network.

    A drop of accuracy is significant if its 95 % interval lies above 0, for paired samples (McNemar, Tango) or, without
    results of each sample, for independent samples (Newcombe). Another metric must fall by more than 5 % of its value.
    """
    dense, shipped = manifest.metrics.dense, manifest.metrics.shipped
    if dense.accuracy is None or shipped.accuracy is None:
        return None
    drop = dense.accuracy - shipped.accuracy
    values: dict[str, float | str] = {"dense": dense.accuracy, "shipped": shipped.accuracy, "drop": drop}
    if manifest.metric != ACCURACY:
        if drop <= _LARGEST_LOSS * abs(dense.accuracy):
            return None
        change = f"{manifest.metric} fell from {dense.accuracy:.4g} to {shipped.accuracy:.4g}"
        return ResultWarning("accuracy_lost", change, values, tuple(ways_to_more_accuracy(manifest)))
    if not dense.samples or not shipped.samples:
        return None
    pairs = manifest.pairs
    low, high = (
        accuracy_intervals.independent_drop(dense.accuracy, dense.samples, shipped.accuracy, shipped.samples)
        if pairs is None
        else accuracy_intervals.paired_drop(pairs.only_dense, pairs.only_shipped, shipped.samples)
    )
    if low <= 0:
        return None
    message = (
        f"accuracy fell by {100 * drop:.2f} points (95 % interval {100 * low:.2f} to {100 * high:.2f}), from "
        f"{quantity_text.percent(dense.accuracy)} to {quantity_text.percent(shipped.accuracy)}"
    )
    values |= {"low": low, "high": high, "samples": shipped.samples}
    return ResultWarning("accuracy_lost", message, values, tuple(ways_to_more_accuracy(manifest)))


def ways_to_more_accuracy(manifest: Manifest) -> Iterator[str]:
    """Yield suggestions for a more accurate network, each with the option of ``edgeprune build``."""
    training, use = manifest.training, budget_use(manifest.budgets)
    if training is None:
        yield "training (--set training.epochs=auto)"
    elif training.still_rising is not False:
        yield f"more epochs (--epochs {2 * training.epochs})"
    if use is not None and use[1] < LEAST_USE:
        yield "any number of channels (--set prune.align=1), because budget is unused"
    yield "another criterion (--criterion; 'edgeprune criteria' lists them)"
    if use is not None and (dense := _of_dense(manifest, use[0])) is not None and dense < 1:
        yield f"a larger budget (--budget {use[0]}={min(1.0, _MORE_BUDGET * dense):.2g})"


def _of_dense(manifest: Manifest, name: str) -> float | None:
    """Return the limit of the cost ``name`` as a fraction of the dense network's cost; None if that is not known."""
    dense: float | None = getattr(manifest.metrics.dense, name, None)
    limit = next(report.limit for report in manifest.budgets if report.name == name)
    return limit / dense if dense else None


def _budget_unused(manifest: Manifest) -> ResultWarning | None:
    """Return a warning if more than 5 % of the tightest budget is unused although units were removed."""
    use = budget_use(manifest.budgets)
    if use is None or use[1] >= LEAST_USE or manifest.metrics.pruned.params == manifest.metrics.dense.params:
        return None
    name, fraction = use
    report = next(report for report in manifest.budgets if report.name == name)
    assert report.value is not None
    return ResultWarning(
        "budget_unused",
        f"{100 * (1 - fraction):.0f} % of the budget of {name} is unused: {format_quantity(name, report.value)} of "
        f"{format_quantity(name, report.limit)}",
        {"name": name, "value": report.value, "limit": report.limit, "used": fraction},
        ("any number of channels (--set prune.align=1)", "another selection (--set prune.selection=knapsack)"),
    )
