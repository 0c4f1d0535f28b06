"""Run a pruning schedule with its training. An interrupted training resumes from its last checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprune.bundle.pruning_report import EpochReport, TrainingReport
from edgeprune.config import Recipe
from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.build_settings import measured_settings
from edgeprune.pipeline.file_names import PLAN, SCORES, WEIGHTS
from edgeprune.pipeline.results.pruning_results import TrainResult
from edgeprune.pipeline.stage import LockEntries, StageDir

if TYPE_CHECKING:
    from torch import nn

    from edgeprune.config import Budget
    from edgeprune.schedules import Choice, PresetPlan, PruningSession
    from edgeprune.training import History, Trainer

_START = "start.safetensors"


def settings(recipe: Recipe) -> Mapping[str, Any]:
    """Return the settings that the pruned and trained network depends on, besides the plan."""
    prune = recipe.prune
    return {
        "schedule": recipe.schedule.model_dump(mode="json"),
        "repair": [prune.repair, prune.samples],
        "verify": prune.verify,
        "training": recipe.training.model_dump(mode="json"),
        "seed": recipe.seed,
    }


def create_session(
    context: BuildContext, model: nn.Module, choice: Choice, budget: Budget, *, planned: PresetPlan | None = None
) -> PruningSession:
    """Return the ``PruningSession`` of ``model`` for the schedule of the recipe."""
    from functools import cache

    from edgeprune.model import weights
    from edgeprune.model.splits import some
    from edgeprune.schedules import PruningSession
    from edgeprune.training import Evaluator, process_group

    recipe, validation = context.recipe, context.data.validation
    evaluator = context.evaluator(validation)

    @cache
    def fast_evaluator(samples: int) -> Evaluator:
        return context.evaluator(some(validation, samples, key=(recipe.seed,)))

    return PruningSession(
        model,
        context.example,
        budget,
        choice,
        planned=planned,
        samples=context.samples,
        seed=recipe.seed,
        rewind_weights=None if recipe.rewind_weights_path is None else weights.read(recipe.rewind_weights_path),
        initialize=lambda seed: context.network(seed=seed, trained=False).state_dict(),
        evaluate=lambda network: evaluator(network).accuracy,
        reward=lambda network, samples: fast_evaluator(samples)(network).accuracy,
        broadcast=process_group().broadcast,
    )


def run_schedule(context: BuildContext, stage_dir: StageDir, session: PruningSession) -> TrainResult:
    """Prune and train the network of ``session`` according to the schedule of the recipe."""
    import numpy as np

    from edgeprune.cost import cost_model
    from edgeprune.model import weights
    from edgeprune.schedules.run_schedule import train
    from edgeprune.training import Trainer, feature_layers

    recipe, schedule, planned = context.recipe, context.schedule, session.planned is not None
    teacher = context.teacher(session.model, {}) if context.trains else None
    macs: list[int] = []

    def trainer(model: nn.Module) -> Trainer:
        _sync_start_weights(model, stage_dir.keep / _START)
        return Trainer(
            model,
            context.data,
            context.training,
            seed=recipe.seed,
            folder=stage_dir.keep,
            teacher=teacher,
            base=recipe.folder,
            progress=stage_dir.progress,
        )

    def before_phase(model: nn.Module) -> None:
        if not planned:  # the units are those of the pruned network, which is captured for them
            macs.append(round(cost_model("macs", session.units, model).total()))
        if teacher is not None:
            teacher.compare(feature_layers(context.units.groups, context.dense, model, session.kept_indices()))

    # After a plan that was made before training there is a single phase, which the other values describe.
    start = session.value() if schedule.starts == "trained" and not planned else None
    history = train(schedule, session, trainer if context.trains else None, before=before_phase)
    if history is not None and recipe.training.batchnorm == "recalibrate" and not history.kept_start:
        from edgeprune.repair import recalibrate

        recalibrate(session.model, context.samples)
    weights.save(session.model.state_dict(), stage_dir.out / WEIGHTS)
    plan = scores = None
    if not planned:
        plan = stage_dir.out / PLAN
        origin = {"criterion": session.choice.criterion.name, "seed": recipe.seed, "schedule": schedule.name}
        session.plan(origin).save(plan)
        if session.scores is not None:
            scores = stage_dir.out / SCORES
            np.save(scores, session.scores.numpy(), allow_pickle=False)
    return TrainResult(
        weights=stage_dir.out / WEIGHTS,
        plan=plan,
        scores=scores,
        training=None if history is None else _report(history, keep=recipe.training.keep),
        epochs=_epochs(history),
        lr_by_epoch=() if history is None else tuple(epoch.lr for epoch in history.epochs),
        execution=_execution(context, history),
        start=start,
        macs_by_phase=tuple(macs),
        locked=bool(context.lock.get("training")),
    )


def _sync_start_weights(model: nn.Module, file: Path) -> None:
    """Save the start weights of training, or load those of an interrupted run.

    A trainer resumes only a training that started from the same weights. Repairs that are computed again may differ in
    the last bits, for example with another number of threads or on a GPU.
    """
    from edgeprune.model import weights
    from edgeprune.training import process_group

    if not process_group().first:  # the trainer gives all processes the weights of the first
        return
    if file.is_file():
        weights.load_into(model, file)
    else:
        weights.save(model.state_dict(), file)


def _report(history: History, *, keep: str) -> TrainingReport:
    from dataclasses import asdict

    assert history.hyperparameters is not None, "the history is of a training"
    epochs = history.epochs
    epoch = len(epochs) if keep == "last" else history.best_epoch
    accuracy = epochs[epoch - 1].validation_accuracy if epoch else history.start_accuracy
    assert accuracy is not None, "the start was evaluated if it can be the best epoch"
    return TrainingReport(
        **asdict(history.hyperparameters),
        start_accuracy=history.start_accuracy,
        accuracy=accuracy,
        best_epoch=epoch,
        phases=epochs[-1].phase if epochs else 1,
        still_rising=history.still_rising,
    )


def _epochs(history: History | None) -> tuple[EpochReport, ...]:
    return tuple(
        EpochReport(
            phase=epoch.phase,
            train_loss=epoch.train_loss,
            validation_loss=epoch.validation_loss,
            validation_accuracy=epoch.validation_accuracy,
        )
        for epoch in (() if history is None else history.epochs)
    )


def _execution(context: BuildContext, history: History | None) -> Mapping[str, str | bool]:
    """Return precision and memory layout of the training steps, if a measurement decided them."""
    if history is None:
        return {}
    return {name: getattr(history.execution, name) for name in measured_settings(context.recipe.training)}


def lock_entries(_context: BuildContext, result: TrainResult) -> LockEntries:
    """Return precision and memory layout of the training, if a measurement decided them."""
    return {("training",): dict(result.execution)} if result.execution else {}
