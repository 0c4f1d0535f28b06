"""Results of the stages that select units, remove them and train the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeprune.bundle.pruning_report import EpochReport, EquivalenceReport, PlanReport, TrainingReport
from edgeprune.pipeline.stage_result import ResultFile, StageResult


@dataclass(frozen=True, kw_only=True)
class CandidatesResult(StageResult):
    """Chosen candidate; see ``edgeprune.candidates.Candidate``.

    Attributes:
        criterion: Name of the importance score.
        selection: Name of the selection.
        balance: Option of the selection ``global``; None: the options of the recipe apply.
        align: Channel multiple of each group that is wide enough; 1: any number.
        plans_ahead: Whether the schedule selects all units before training.
        starts_trained: Whether the schedule starts, and scores units, with a trained network.
        compared: Compared candidates; empty if there is only one.
        name: Name of the chosen candidate; None if there is only one.
    """

    criterion: str
    selection: str
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
        scores: NumPy file of the scores, (units,); None if the schedule scores units during training.
    """

    scores: ResultFile | None


@dataclass(frozen=True, kw_only=True)
class SelectResult(StageResult):
    """Plan of a schedule that selects all units before training.

    Attributes:
        plan: File of the plan; None if the schedule selects units during training.
    """

    plan: ResultFile | None


@dataclass(frozen=True, kw_only=True)
class TrainResult(StageResult):
    """Network after its schedule: pruned, repaired and trained.

    Attributes:
        weights: File of the weights.
        plan: File of the plan; None if the stage ``select`` made it.
        scores: NumPy file of the last scores of the dense network's units, (units,); None if the stage ``score`` made
            it, or if there are no scores.
        training: Training in the format of the manifest; None without training.
        epochs: Reports of all epochs in order.
        lr_by_epoch: Learning rate of the last step of each epoch.
        execution: Precision and memory layout of the steps, for those settings of ``training`` that are ``auto``.
        start: Validation accuracy of the trained dense network before the first step; None if it was not evaluated.
        macs_by_phase: MACs of the network in each phase of training.
    """

    weights: ResultFile
    plan: ResultFile | None
    scores: ResultFile | None
    training: TrainingReport | None
    epochs: tuple[EpochReport, ...]
    lr_by_epoch: tuple[float, ...]
    execution: Mapping[str, str | bool]
    start: float | None
    macs_by_phase: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class PlanResult(StageResult):
    """Plan and its costs.

    Attributes:
        plan: File of the plan.
        scores: NumPy file of the scores that the plan is based on, (units,); None if there are none.
        before: Costs of the dense network, by name.
        after: Costs of the pruned network, by name.
        limits: Absolute limits of the budget, by name of the cost.
        removed_units: Number of removed units.
        latency_table: SHA-256 of the latency table; None if latency is not limited.
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
    """Result of the equivalence check.

    Attributes:
        report: Result in the format of the manifest.
    """

    report: EquivalenceReport
