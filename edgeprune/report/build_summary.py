"""Summary of a build for one or several targets: a line for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeprune.bundle.manifest import BudgetReport, Manifest
from edgeprune.profile.measured_limits import device_name, is_on_target
from edgeprune.profile.profile_result import Profile
from edgeprune.report import budget_output, build_table
from edgeprune.report.quantity_text import count, milliseconds, shown, size

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("target", "ships", "MACs", "file", "accuracy", "latency p50", "budgets", "exit")


@dataclass(frozen=True)
class FinishedBuild:
    """A finished build.

    Attributes:
        manifest: Of the bundle.
        profile: Of its models.
        budgets: Verdicts on all limits.
    """

    manifest: Manifest
    profile: Profile
    budgets: Sequence[BudgetReport]


@dataclass(frozen=True)
class BuildOutcome:
    """Outcome of the build for one target.

    Attributes:
        target: Its name.
        exit_code: That it would have ended with alone.
        error: Why it failed, or which budgets are missed.
        made: None where it failed.
    """

    target: str
    exit_code: int = 0
    error: str | None = None
    finished: FinishedBuild | None = None


def cells(outcome: BuildOutcome) -> tuple[str, ...]:
    """One outcome as the texts of ``COLUMNS``."""
    if outcome.finished is None:
        return (outcome.target, *("" for _ in COLUMNS[2:-1]), "failed", str(outcome.exit_code))
    manifest = outcome.finished.manifest
    shipped, budgets = manifest.metrics.shipped, outcome.finished.budgets
    kept = sum(report.ok for report in budgets)
    return (
        outcome.target,
        "" if manifest.precision is None else manifest.precision.shipped,
        count(shipped.macs),
        "" if shipped.file_bytes is None else size(shipped.file_bytes),
        "" if shipped.accuracy is None else shown("accuracy", shipped.accuracy, metric=manifest.metric),
        _latency(outcome.finished),
        f"{kept} of {len(budgets)} kept",
        str(outcome.exit_code),
    )


def render(outcomes: Sequence[BuildOutcome]) -> Table:
    """The table for a terminal, made with rich."""
    from rich.box import SIMPLE
    from rich.table import Table

    made = Table(box=SIMPLE, pad_edge=False)
    for column in COLUMNS:
        is_text = column in ("latency p50", "budgets")
        made.add_column(
            column, justify="left" if column in ("target", "ships", "budgets") else "right", no_wrap=not is_text
        )
    for outcome in outcomes:
        made.add_row(*cells(outcome))
    return made


def markdown(outcomes: Sequence[BuildOutcome]) -> str:
    """All of a build as Markdown: a line for each target, then its table, its verdicts and its error."""
    lines = []
    if len(outcomes) > 1:
        lines += [f"| {' | '.join(COLUMNS)} |", "|---|---|---:|---:|---:|---:|---|---:|"]
        lines += [f"| {' | '.join(cells(outcome))} |" for outcome in outcomes]
        lines.append("")
    for outcome in outcomes:
        if outcome.finished is not None:
            made = outcome.finished
            lines += [build_table.markdown(made.manifest, made.profile), ""]
            lines += [budget_output.markdown(made.budgets, made.manifest.metric), ""]
        if outcome.error is not None:
            lines += [f"**{outcome.target}: {outcome.error}**", ""]
    return "\n".join(lines)


def _latency(made: FinishedBuild) -> str:
    """Median latency of the shipped model, or its prediction, with the provenance."""
    manifest, profile = made.manifest, made.profile
    ships = "float32" if manifest.precision is None else manifest.precision.shipped
    found = profile.models.get("pruned" if ships == "float32" else ships)
    if found is None:
        predicted = manifest.metrics.shipped.predicted_latency_ms
        return "not measured" if predicted is None else f"{milliseconds(predicted)}, estimated"
    value = milliseconds(found.latency_ms.p50)
    if not is_on_target(manifest.platform, profile):
        return f"{value} on {device_name(profile).partition(' (')[0]}"
    return f"{value}, {found.latency_ms.kind}"
