"""Parts of ``manifest.json`` and ``report.json`` about pruning and training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgeprune.bundle.schema_base import Count, Figure, ManifestPart


class PlanReport(ManifestPart):
    """One candidate plan that the build compared; see ``edgeprune.candidates``.

    Attributes:
        criterion: Name of the importance score.
        selection: Name of the selection.
        balance: Option of the selection ``global``; None if the options of the recipe apply.
        align: Multiple to which the number of channels is aligned in groups that are wide enough; 1 for any number.
        macs: Fraction of the dense network's MACs that remain.
        loss: Mean loss on validation samples after repair; None if it is not finite.
        accuracy: Value of ``metric`` on the same samples; None if it is not defined.
        trained_loss: Loss after a short training; None without training, or if it is not finite.
        trained_accuracy: Value of ``metric`` after a short training; None without training, or if it is not defined.
        chosen: Whether the build used this plan.
    """

    criterion: str
    selection: str
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
    """One pass over the training split; see ``edgeprune.training.history.Epoch``.

    Attributes:
        phase: Number of the training phase, from 1.
        train_loss: Mean loss on training samples.
        validation_loss: Mean loss on validation samples after the epoch.
        validation_accuracy: Accuracy or custom metric on validation samples after the epoch.
    """

    phase: int
    train_loss: Figure
    validation_loss: Figure
    validation_accuracy: Figure


class TrainingReport(ManifestPart):
    """Training after or during pruning.

    Attributes:
        optimizer: Name of the optimizer.
        epochs: Number of passes over the training split.
        batch_size: Number of samples per step.
        lr: Peak learning rate.
        distilled: Whether knowledge distillation from the dense network was used in addition to the labels.
        automatic: Names of the settings that EdgePrune chose; the others come from the recipe.
        start_accuracy: Validation accuracy before training, or before its last phase; None if not evaluated.
        accuracy: Validation accuracy of the returned network, or the value of the manifest's ``metric``.
        best_epoch: Number of the epoch that produced the returned network; 0 if the network before training, or before
            its last phase, was better than those of all epochs.
        phases: Number of training phases; a schedule with several pruning rounds has one phase for each round.
        still_rising: Whether more epochs are likely to increase the accuracy; None after too few epochs.
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
