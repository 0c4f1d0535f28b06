"""Parts of a manifest and of ``report.json`` about pruning and training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgeprune.bundle.schema_base import Count, Figure, ManifestPart


class PlanReport(ManifestPart):
    """One candidate plan that the build compared; see ``edgeprune.candidates``.

    Attributes:
        criterion: Name of the importance score.
        select: Name of the selection.
        balance: Option of the selection ``global``; None: the options of the recipe hold.
        align: Multiple of channels that groups keep where they are wide enough; 1: any number.
        macs: Fraction of the dense network's MACs that remain.
        loss: Mean loss on validation samples after repair; None if it is not finite.
        accuracy: ``metric`` on the same samples; None where it is not defined.
        trained_loss: Loss after the short training; None without one, or if it is not finite.
        trained_accuracy: ``metric`` after the short training, likewise.
        chosen: Whether the build used this plan.
    """

    criterion: str
    select: str
    balance: float | None = None
    align: int = 1
    macs: float
    loss: float | None
    accuracy: float | None = None
    trained_loss: float | None = None
    trained_accuracy: float | None = None
    chosen: bool = False


class EquivalenceReport(ManifestPart):
    """Result of the equivalence check of the pruned network; see ``edgeprune.graph.Equivalence``.

    Attributes:
        verified: Whether the check ran and passed; False if the recipe sets ``prune.verify`` to false.
        max_error: Largest error, relative to the largest output; None without a check.
        exact: Whether zeros were the reference everywhere; None without a check.
    """

    verified: bool
    max_error: float | None = None
    exact: bool | None = None


class EpochReport(ManifestPart):
    """One pass over the training split; see ``edgeprune.training.history.Epoch``."""

    stretch: int
    train_loss: Figure
    validation_loss: Figure
    validation_accuracy: Figure


class TrainingReport(ManifestPart):
    """Training after or during pruning.

    Attributes:
        optimizer: Name of the optimizer.
        epochs: Passes over the training split.
        batch_size: Samples per step.
        lr: Peak learning rate.
        distilled: Whether the network learned from the dense network's answers besides the labels.
        automatic: Names of those values that EdgePrune chose; the others come from the recipe.
        start_accuracy: Validation accuracy before training, or before the last phase of it; None: not evaluated.
        accuracy: Validation accuracy of the network that was kept; ``metric`` of the manifest names what it is.
        best_epoch: Number of the epoch whose network was kept; 0: the network before training, or before the last phase
            of it, was better than all.
        phases: Phases of training; a schedule that prunes in several rounds trains in as many.
        still_rising: Whether more epochs are likely to help; None: too few epochs to say.
    """

    optimizer: Literal["sgd", "adamw"]
    epochs: Count
    batch_size: Annotated[int, Field(ge=1)]
    lr: Annotated[float, Field(gt=0)]
    distilled: bool
    automatic: tuple[str, ...] = ()
    start_accuracy: float | None = None
    accuracy: float
    best_epoch: Count
    phases: Annotated[int, Field(ge=1)] = 1
    still_rising: bool | None = None
