"""Trainer that runs in phases and resumes an interrupted run with identical results."""

from __future__ import annotations

import itertools
import logging
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgeprune.config import TrainingSettings
from edgeprune.errors import DataError, ModelError
from edgeprune.model import weights
from edgeprune.model.data import Data
from edgeprune.model.seeding import derive_seed, seed_generators, seeded
from edgeprune.model.splits import read_part
from edgeprune.progress import SILENT, Progress
from edgeprune.training.checkpoint import Checkpoints, identity
from edgeprune.training.distillation import Teacher
from edgeprune.training.distributed import process_group
from edgeprune.training.evaluate import device_of
from edgeprune.training.evaluator import Evaluator
from edgeprune.training.history import History
from edgeprune.training.hyperparameters import DISTINCT_BATCHES
from edgeprune.training.objective import Objective
from edgeprune.training.phase import Phase
from edgeprune.training.precision_and_layout import StepExecution, decide, deterministic
from edgeprune.training.rollback import ROLLBACKS, check_rollbacks, rate_factor
from edgeprune.training.run_checkpoints import RunCheckpoints
from edgeprune.training.run_state import PhaseState, RunState
from edgeprune.training.step_plan import StepPlan
from edgeprune.training.trained_network import TrainedNetwork
from edgeprune.training.training_step import TrainingStep
from edgeprune.training.validation import Validation

logger = logging.getLogger(__name__)

_WORK = {"train": "train", "validation": "validate"}


class Trainer:
    """Trainer of one network in phases, between which its shape may change.

    - Automatic settings: batch size and number of epochs follow from the number of samples. The learning rate comes
      from a range test on the network before its first step (see ``hyperparameters``).
    - Result: with ``keep = "best"``, the network before the last phase is also a candidate. Training therefore never
      returns a network that is worse on validation data than the one before that phase.
    - Validation: always in float32.
    - Several processes: each computes its part of every batch, and all end with the same weights.
    - Checkpoints: the state is saved in ``folder`` every ``checkpoint_s`` seconds and after each epoch. A later run
      with the same arguments resumes there. On a CPU, its result is bit-identical to that of an uninterrupted run with
      the same number of threads: batches, augmentation, dropout and random numbers of a user's step depend only on
      (seed, epoch, step), and precision and memory format are chosen once for the folder.
    - Rollbacks: if the loss is not finite or far above its initial level, training returns to the last finished epoch
      (or the beginning of the phase) and continues with half the learning rate, at most three times.

    Args:
        model: Network to train, which is changed in place.
        data: Data set, of which ``train`` and ``validation`` are used.
        settings: ``[training]`` settings of a recipe, with at least one epoch.
        seed: Seed of shuffling, augmentation and dropout.
        folder: Folder for the checkpoint files, see ``Checkpoints``.
        teacher: Teacher for distillation. None: the loss uses labels only.
        base: Folder that file names in the settings are relative to. Defaults to the working folder.
        checkpoint_s: Seconds between two checkpoints within an epoch.
        progress: Progress bar, which advances by every step.

    Attributes:
        plan: Number and learning rates of the steps.
        network: The network, its optimizer and the average of its weights.

    Raises:
        DataError: The training or validation split is empty.
        InputError: A batch has fewer samples than there are processes.
        ModelError: The user's loss or step fails when ``auto`` settings are measured.
        RecipeError: The user's loss, step or metric cannot be loaded, or cannot be combined with a teacher.
        TrainingError: ``folder`` holds a damaged file.
    """

    def __init__(
        self,
        model: nn.Module,
        data: Data,
        settings: TrainingSettings,
        *,
        seed: int = 0,
        folder: Path,
        teacher: Teacher | None = None,
        base: Path | None = None,
        checkpoint_s: float = 60.0,
        progress: Progress = SILENT,
    ) -> None:
        for role, split in (("train", data.train), ("validation", data.validation)):
            if len(split) == 0:
                raise DataError(f"the {role} split is empty: it must have samples to {_WORK[role]} on")
        self._data = data
        self._settings = settings
        self._seed = seed
        self._teacher = teacher
        self._checkpoint_s = checkpoint_s
        self._processes = process_group()
        self._progress = progress if self._processes.first else SILENT
        samples = len(data.train)
        self.plan = StepPlan.of(settings, samples, self._processes.count)
        label_objective = Objective(settings, base=base)
        objective = label_objective if teacher is None else Objective(settings, teacher=teacher, base=base)
        evaluator = Evaluator(data.validation, settings, base=base)
        run_identity = identity(
            model.state_dict(),
            seed=seed,
            samples=samples,
            teacher=None if teacher is None else teacher.identity,
            steps=[self.plan.epochs, self.plan.batch_size],
            **settings.model_dump(mode="json", exclude={"keep"}),
        )
        self._files = Checkpoints(folder, run_identity)
        self._validation = Validation(evaluator, self._processes, self._files, progress=self._progress)
        first = next(iter(data.train.batches(self.plan.batch_size, rng_key=(seed, 1))))
        self._first_inputs = first[0]
        self._device = self._processes.device or device_of(model)
        execution = None
        if self._processes.first:
            self._files.remove_temporary_files()
            execution = decide(model, first, settings, label_objective, file=self._files.execution, device=self._device)
        self._execution: StepExecution = self._processes.broadcast(execution)
        self._execution.set_memory_format(model)
        self.network = TrainedNetwork(model, settings)
        self._step = TrainingStep(self.network, objective, self._execution, self._processes, settings)
        self._state = RunState(self.network, lr=None if settings.lr == "auto" else settings.lr)
        self._checkpoints = RunCheckpoints(self._files, self._state, self._processes)
        self._phases = 0
        self._fraction = 0.0
        self._end = 0
        self._progress.start(self.plan.steps)

    def train(self, phase: Phase) -> None:
        """Train for ``phase``; an interrupted phase resumes.

        Raises:
            DataError: Labels are out of range, or inputs are not finite.
            InputError: The outputs of the teacher have another shape, or the run was started with another number of
                processes.
            ModelError: The user's loss, step or metric fails; they are tried once before the first step.
            TrainingError: The loss diverged again after three rollbacks (the best network remains in ``folder``), or
                ``folder`` holds another run.
        """
        self._phases += 1
        self._fraction += phase.fraction
        begin, self._end = self._end, max(self._end + 1, round(self._fraction * self.plan.steps))
        run = PhaseState(phase, self._phases, begin, self._end)
        home = device_of(self.network.model)
        if phase.reset_optimizer:
            self.network.optimizer.state.clear()
        with deterministic(), seeded(self._seed):
            try:
                self._begin(run)
                while run.step < run.end:
                    wrong = self._train_epoch(run)
                    if wrong is not None:
                        self._roll_back(run, wrong)
                self.network.optimizer.zero_grad()  # gradients need as much memory as the weights
                run.hook.end()
            finally:
                if self._teacher is not None:
                    self._teacher.end()
                self.network.move(home)

    def finish(self) -> History:
        """Load the selected checkpoint, switch to eval mode, and return the training history.

        If BatchNorm statistics must be recalibrated, the caller does so afterwards.
        """
        file = self._files.best if self._settings.keep == "best" else self._files.last
        model, state = self.network.model, self._state
        model.load_state_dict(self._processes.broadcast(weights.read(file) if self._processes.first else None))
        model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        model.eval()
        distilled = self._teacher is not None and self._teacher.uses_outputs
        return History(
            epochs=tuple(state.epochs),
            best_epoch=state.best_epoch,
            start_accuracy=state.start_accuracy,
            hyperparameters=self.plan.hyperparameters(self._settings, state.peak_rate, distilled=distilled),
            rollbacks=state.rollbacks,
            execution=self._execution,
        )

    def _begin(self, run: PhaseState) -> None:
        """Prepare a phase, and resume it from its checkpoint if there is one."""
        self.network.move(self._device)
        for model in (self.network.model, *self.network.followers):
            self._processes.broadcast_model(model)
            self._execution.set_memory_format(model)
        if self._teacher is not None:
            self._teacher.begin(self.network.model, self._first_inputs, self._execution)
        self._state.forget_best()
        run.hook.begin(run.end - run.begin)
        if not self._checkpoints.resume(run):
            wrong = self._problem(run)
            if wrong is not None:
                raise ModelError(f"the network cannot be trained: {wrong}")
            last = self._fraction >= 1 - 1e-9
            candidate = self._settings.keep == "best" and last and run.phase.hook is None
            self._validation.before_phase(self._state, candidate=candidate, first=run.number == 1)
            if self._state.lr is None:
                self._state.lr = self._processes.broadcast(self._range_test() if self._processes.first else None)
            self._checkpoints.save(run)
        self._progress.advance(run.step - run.begin)

    def _range_test(self) -> float:
        """Return the peak learning rate for the current network; deterministic on a CPU."""
        batches = self._data.train.batches(self.plan.batch_size, rng_key=(self._seed, 0))
        with seeded(self._seed, 0):
            return self._step.peak_rate(list(itertools.islice(batches, DISTINCT_BATCHES)))

    def _train_epoch(self, run: PhaseState) -> str | None:
        """Train to the end of the epoch or of the phase; return the first problem, or None."""
        processes_, plan = self._processes, self.plan
        epoch, first = divmod(run.step, plan.epoch_steps)
        stop = min(run.end, (epoch + 1) * plan.epoch_steps)
        self.network.set_training_mode()
        batches = read_part(
            self._data.train,
            plan.batch_size,
            rng_key=(self._seed, epoch + 1),
            start=first,
            part=(processes_.rank, processes_.count),
        )
        begun = time.perf_counter()
        for inputs, labels, weight in batches:
            due = processes_.first and time.perf_counter() - begun >= self._checkpoint_s
            wrong, due = self._update(run, inputs, labels, weight, due=due)
            if wrong is not None:
                return wrong
            if run.step == stop:
                break
            if due:
                run.seconds += time.perf_counter() - begun
                wrong = self._problem(run)
                if wrong is not None:
                    return wrong
                self._checkpoints.save(run, underway=True)
                begun = time.perf_counter()
        if run.step < stop:
            raise DataError(
                f"the train split returned {run.step % plan.epoch_steps} batches of {plan.batch_size} in epoch "
                f"{epoch + 1}, expected {plan.epoch_steps} for its {len(self._data.train)} samples"
            )
        run.seconds += time.perf_counter() - begun
        wrong = self._problem(run) or self._validation.after_epoch(self._state, run, epoch + 1)
        if wrong is None:
            self._checkpoints.save(run)
        return wrong

    def _update(
        self, run: PhaseState, inputs: Any, labels: Any, weight: float, *, due: bool
    ) -> tuple[str | None, bool]:
        """Run one step; return a problem with its loss or None, and whether a checkpoint is ``due`` in any process."""
        epoch, step = divmod(run.step, self.plan.epoch_steps)
        rate = rate_factor(self._state.rollbacks) * self.plan.rate(self._state.peak_rate, run.position)
        self.network.set_rate(rate)
        seed_generators(derive_seed(self._seed, epoch, run.step, self._processes.rank))
        value, due = self._step.backward(inputs, labels, weight, due=due)
        if run.divergence.update(value):
            where = f"epoch {epoch + 1}, step {step + 1} of {self.plan.epoch_steps}"
            return f"the loss became {value:.4g} in {where}, at learning rate {rate:.3g}", due
        self._step.update(run.hook, run.step - run.begin)
        run.step += 1
        run.losses.append(value)
        self._progress.advance(epoch=epoch + 1, loss=value)
        return None, due

    def _problem(self, run: PhaseState) -> str | None:
        """Return the problem with the weights or statistics of the network as a message; None if they are finite."""
        epoch = run.step / self.plan.epoch_steps
        return None if self.network.is_finite else f"weights are not finite after epoch {epoch:.2f}"

    def _roll_back(self, run: PhaseState, wrong: str) -> None:
        """Return to the last finished epoch of the phase, with half the learning rate.

        Raises:
            TrainingError: The maximum number of rollbacks was reached.
        """
        state = self._state
        reached, done = run.step, state.rollbacks
        self._checkpoints.roll_back(run)
        check_rollbacks(done, wrong, self._files.best if state.best_epoch else None)
        state.rollbacks = done + 1
        self._progress.advance(run.step - reached)
        if self._processes.first:
            logger.warning(
                "%s: resuming from step %d with %g of the learning rate (rollback %d of %d)",
                wrong, run.step, rate_factor(state.rollbacks), state.rollbacks, ROLLBACKS,
            )  # fmt: skip
        self._checkpoints.save(run)
