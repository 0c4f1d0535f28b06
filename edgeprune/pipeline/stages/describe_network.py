"""Describe the network for the report: layers, memory, groups and their scores."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from edgeprune.bundle.report_data import ReportCall, ReportLayer
from edgeprune.bundle.report_data import ReportGroup as GroupFacts
from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.results.description_results import DescribeResult
from edgeprune.pipeline.results.pruning_results import CandidatesResult, PlanResult
from edgeprune.pipeline.stage import Stage, StageDir

if TYPE_CHECKING:
    import numpy as np

    from edgeprune.graph.units import Group

_DIGITS = 4
"""Number of significant digits of a score."""


def _run(context: BuildContext, _stage_dir: StageDir, chosen: CandidatesResult, plan: PlanResult) -> DescribeResult:
    import numpy as np

    from edgeprune.cost.cost_breakdown import layer_costs, live_bytes

    units, removed = context.units, context.removed(plan)
    candidate = context.candidate(chosen)
    scores = None if plan.scores is None else np.load(plan.scores, allow_pickle=False)
    return DescribeResult(
        criterion=context.criterion(candidate.criterion).name,
        selection=context.selection(candidate).name,
        repairs=context.repairs(compared=bool(chosen.compared)),
        layers=tuple(ReportLayer(**asdict(layer)) for layer in layer_costs(units, removed)),
        calls=tuple(ReportCall(**asdict(call)) for call in live_bytes(units, removed)),
        groups=tuple(_group(group, removed.numpy(), scores) for group in units.groups),
    )


def _group(group: Group, removed: np.ndarray, scores: np.ndarray | None) -> GroupFacts:
    mask = removed[group.start : group.stop]
    has_scores = scores is not None and group.frozen is None
    group_scores = scores[group.start : group.stop] if scores is not None and has_scores else mask[:0]
    return GroupFacts(
        name=group.name,
        units=len(group),
        remaining_units=len(group) - int(mask.sum()),
        frozen=group.frozen,
        layers=tuple(member.tensor.rpartition(".")[0] or member.tensor for member in group.producers),
        remaining_scores=_sorted_scores(group_scores[~mask]) if has_scores else (),
        removed_scores=_sorted_scores(group_scores[mask]) if has_scores else (),
    )


def _sorted_scores(scores: np.ndarray) -> tuple[float, ...]:
    return tuple(float(f"{score:.{_DIGITS}g}") for score in sorted(scores.tolist()))


STAGE = Stage("describe", "describe", _run)
