"""Results of the stages that choose, remove and train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeprune.bundle.pruning_report import EpochReport, EquivalenceReport, PlanReport, TrainingReport
from edgeprune.pipeline.stage_result import ResultFile, StageResult


@dataclass(frozen=True, kw_only=True)
class CandidatesResult(StageResult):
    """The way to choose what is removed, see ``edgeprune.candidates.Candidate``.

    Attributes:
        criterion: Name of the importance score.
        select: Name of the selection.
        balance: Option of the selection ``global``; None: the options of the recipe hold.
        align: Multiple of channels that each group keeps if it is wide enough; 1: any number.
        plans_ahead: Whether the schedule chooses everything before training.
        starts_trained: Whether the schedule starts from a trained network, and so the scores are those of one.
        compared: Candidates that were compared; empty where there is only one.
        name: Name of the chosen one of them; None where there is only one.
    """

    criterion: str
    select: str
    balance: float | None
    align: int
    plans_ahead: bool
    starts_trained: bool
    compared: tuple[PlanReport, ...] = ()
    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class ScoreResult(StageResult):
    """Importance of every unit.

    Attributes:
        scores: NumPy file of the scores, (units,); None if the schedule scores units in the course of training.
    """

    scores: ResultFile | None


@dataclass(frozen=True, kw_only=True)
class SelectResult(StageResult):
    """The plan of a schedule that chooses everything before training.

    Attributes:
        plan: The plan; None if the schedule chooses in the course of training.
    """

    plan: ResultFile | None


@dataclass(frozen=True, kw_only=True)
class TrainResult(StageResult):
    """The network after its schedule: pruned, repaired and trained.

    Attributes:
        weights: Its weights.
        plan: What was removed; None if the stage ``select`` chose it.
        scores: NumPy file of the last scores of the dense network's units, (units,); None if the stage ``score`` has
            them, or if there are none.
        training: Training, as the manifest reports it; None without training.
        epochs: All epochs in order.
        execution: How steps ran, for the settings of ``training`` that are ``auto``.
        start: Validation accuracy of the trained dense network before the first step; None if it was not evaluated.
        macs_by_phase: MACs of the network in each phase of training.
    """

    weights: ResultFile
    plan: ResultFile | None
    scores: ResultFile | None
    training: TrainingReport | None
    epochs: tuple[EpochReport, ...]
    execution: Mapping[str, str | bool]
    start: float | None
    macs_by_phase: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class PlanResult(StageResult):
    """The plan with its costs.

    Attributes:
        plan: The plan.
        scores: NumPy file of the scores that it was chosen by, (units,); None if there are none.
        before: Costs of the dense network, by name.
        after: Costs of the pruned network, by name.
        limits: Absolute limits of the budget, by name of the cost.
        removed_units: Number of units that it removes.
        latency_table: SHA-256 of the table that latencies are predicted with; None where latency is not limited.
    """

    plan: ResultFile
    scores: ResultFile | None
    before: Mapping[str, float]
    after: Mapping[str, float]
    limits: Mapping[str, float]
    removed_units: int
    latency_table: str | None


@dataclass(frozen=True, kw_only=True)
class EquivalenceResult(StageResult):
    """Equivalence check.

    Attributes:
        report: Its outcome, as the manifest has it.
    """

    report: EquivalenceReport
