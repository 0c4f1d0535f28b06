"""Summary of a build for one or more targets, with one line for each target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeprune.bundle.budget_report import BudgetReport
from edgeprune.bundle.manifest import Manifest
from edgeprune.profile.measured_limits import device_name, is_on_target
from edgeprune.profile.profile_result import Profile
from edgeprune.report import budget_output, build_table
from edgeprune.report.quantity_text import count, format_quantity, milliseconds, size

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("target", "ships", "MACs", "file", "accuracy", "latency p50", "budgets", "exit")


@dataclass(frozen=True)
class FinishedBuild:
    """Results of a finished build.

    Attributes:
        manifest: Manifest of the bundle.
        profile: Profile of its models.
        budgets: Results of all budgets.
    """

    manifest: Manifest
    profile: Profile
    budgets: Sequence[BudgetReport]


@dataclass(frozen=True)
class BuildOutcome:
    """Outcome of the build for one target.

    Attributes:
        target: Name of the target.
        exit_code: Exit code of the build for this target.
        error: Reason of the failure, or the missed budgets; None if there are none.
        finished: Results of the build; None if it failed.
    """

    target: str
    exit_code: int = 0
    error: str | None = None
    finished: FinishedBuild | None = None


def cells(outcome: BuildOutcome) -> tuple[str, ...]:
    """Return the texts of ``COLUMNS`` for one outcome."""
    if outcome.finished is None:
        return (outcome.target, *("" for _ in COLUMNS[2:-1]), "failed", str(outcome.exit_code))
    manifest = outcome.finished.manifest
    shipped, budgets = manifest.metrics.shipped, outcome.finished.budgets
    num_met = sum(report.ok for report in budgets)
    return (
        outcome.target,
        "" if manifest.precision is None else manifest.precision.shipped,
        count(shipped.macs),
        "" if shipped.file_bytes is None else size(shipped.file_bytes),
        "" if shipped.accuracy is None else format_quantity("accuracy", shipped.accuracy, metric=manifest.metric),
        _latency(outcome.finished),
        f"{num_met} of {len(budgets)} kept",
        str(outcome.exit_code),
    )


def render(outcomes: Sequence[BuildOutcome]) -> Table:
    """Return a rich table for the terminal."""
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(box=SIMPLE, pad_edge=False)
    for column in COLUMNS:
        is_text = column in ("latency p50", "budgets")
        table.add_column(
            column, justify="left" if column in ("target", "ships", "budgets") else "right", no_wrap=not is_text
        )
    for outcome in outcomes:
        table.add_row(*cells(outcome))
    return table


def markdown(outcomes: Sequence[BuildOutcome]) -> str:
    """Return the summary as Markdown: one line for each target, then its table, budget results and error."""
    lines = []
    if len(outcomes) > 1:
        lines += [f"| {' | '.join(COLUMNS)} |", "|---|---|---:|---:|---:|---:|---|---:|"]
        lines += [f"| {' | '.join(cells(outcome))} |" for outcome in outcomes]
        lines.append("")
    for outcome in outcomes:
        if outcome.finished is not None:
            finished = outcome.finished
            lines += [build_table.markdown(finished.manifest, finished.profile), ""]
            lines += [budget_output.markdown(finished.budgets, finished.manifest.metric), ""]
        if outcome.error is not None:
            lines += [f"**{outcome.target}: {outcome.error}**", ""]
    return "\n".join(lines)


def _latency(finished: FinishedBuild) -> str:
    """Return the median or predicted latency of the shipped model, with its provenance."""
    manifest, profile = finished.manifest, finished.profile
    shipped_precision = "float32" if manifest.precision is None else manifest.precision.shipped
    model = profile.models.get("pruned" if shipped_precision == "float32" else shipped_precision)
    if model is None:
        predicted = manifest.metrics.shipped.predicted_latency_ms
        return "not measured" if predicted is None else f"{milliseconds(predicted)}, estimated"
    value = milliseconds(model.latency_ms.p50)
    if not is_on_target(manifest.platform, profile):
        return f"{value} on {device_name(profile).partition(' (')[0]}"
    return f"{value}, {model.latency_ms.kind}"
