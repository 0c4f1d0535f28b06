"""Training in stretches, such that stopping it at any moment changes nothing but the time."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgeprune.config import TrainingSettings
from edgeprune.errors import DataError, InputError, ModelError, TrainingError
from edgeprune.model import weights
from edgeprune.model.data import Data
from edgeprune.model.randomness import derive_seed, seeded
from edgeprune.model.splits import read_part, training_steps
from edgeprune.progress import SILENT, Progress
from edgeprune.training.average import Average
from edgeprune.training.checkpoint import Checkpoints, identity
from edgeprune.training.distillation import Teacher
from edgeprune.training.divergence import Divergence
from edgeprune.training.evaluate import device_of
from edgeprune.training.execution import decide, deterministic
from edgeprune.training.history import Epoch, History
from edgeprune.training.judge import Judge
from edgeprune.training.objective import Objective
from edgeprune.training.processes import processes
from edgeprune.training.stretch import Hook, Stretch

logger = logging.getLogger(__name__)

ROLLBACKS = 3
_SLOWER = 0.5  # what the learning rate is multiplied with at each rollback
_ADVICE = "Lower training.lr, or set training.gradient_clip or training.warmup_epochs"


class Trainer:
    """Trains one network in stretches, between which its shape may change.

    Linear warm-up, then a cosine to zero (Loshchilov and Hutter 2017), set anew at every step. Weight decay spares
    biases and the parameters of norm layers. Validation runs in float32, whatever the steps run in. Where several
    processes were started each takes its part of every batch, and all end with the same weights.

    Its state is kept in ``folder`` every ``checkpoint_s`` seconds and at the end of each epoch. A later run with the
    same arguments goes on there, and ends with the same bits on a CPU as an undisturbed run with as many threads:
    batches, augmentation and dropout depend on (seed, epoch, step) alone, and precision and memory format are decided
    once for the folder. A loss that is no longer finite, or far above what it was, takes it back to what was kept last
    with half the learning rate, three times at most.

    Args:
        model: Changed in place.
        data: Its test split is not touched.
        settings: ``training`` of a recipe; at least one epoch.
        seed: Of shuffling, augmentation and dropout.
        folder: For the files that ``Checkpoints`` tells of.
        teacher: To learn from; None: from labels alone.
        base: Folder that file names in the settings are relative to.
        checkpoint_s: Seconds between two checkpoints within an epoch.
        progress: Told of every step.

    Attributes:
        model: The network. Replace it between stretches where it is another object.
        optimizer: Its optimiser.
        average: Of the weights, None without.

    Raises:
        DataError: An empty training split.
        InputError: A teacher with other outputs; a run that was begun by another number of processes.
        TrainingError: ``folder`` belongs to another run.
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
        if len(data.train) == 0:
            raise DataError("there is nothing to train on: the train split is empty")
        self.model = model
        self._data = data
        self._settings = settings
        self._seed = seed
        self._teacher = teacher
        self._checkpoint_s = checkpoint_s
        self._progress = progress
        self._processes = processes()
        if settings.batch_size < self._processes.count:
            raise InputError(
                f"training.batch_size: got {settings.batch_size} for {self._processes.count} processes, which share a "
                "batch; it must be at least as many"
            )
        self._objective = Objective(settings, teacher=teacher, base=base)
        self._judge = Judge(data.validation, settings, base=base)
        self._epoch_steps = training_steps(len(data.train), settings.batch_size)
        self.steps = settings.epochs * self._epoch_steps
        told = identity(
            model.state_dict(),
            seed=seed,
            samples=len(data.train),
            **settings.model_dump(mode="json", exclude={"keep"}),
        )
        self._files = Checkpoints(folder, told, writes=self._processes.first)
        first = next(iter(data.train.batches(settings.batch_size, rng_key=(seed, 1))))
        execution = None
        if self._processes.first:
            execution = decide(model, first, settings, Objective(settings, base=base), file=self._files.execution)
        self._execution = self._processes.tell(execution)
        self._execution.place(model)
        self._first_inputs = first[0]
        self.optimizer = _optimizer(model, settings)
        self.average = Average(model, settings.ema) if settings.ema else None
        self._epochs: list[Epoch] = []
        self._best_epoch = 0
        self._rollbacks = 0
        self._stretch = 0
        self._share = 0.0
        progress.start(self.steps)

    @property
    def followers(self) -> tuple[nn.Module, ...]:
        """Modules with the same tensors as the network, which must change shape with it."""
        return () if self.average is None else (self.average.model,)

    def train(self, stretch: Stretch) -> None:
        """Train for ``stretch``, from where it was interrupted if it was.

        Raises:
            DataError: Labels out of range, inputs that are not finite.
            ModelError: The user's loss, step or metric fails.
            TrainingError: The loss left all bounds again after three rollbacks; the best network stays in ``folder``.
        """
        self._stretch += 1
        begin = round(self._share * self.steps)
        self._share += stretch.share
        end = max(begin + 1, round(self._share * self.steps))
        hook = stretch.hook or Hook()
        home = device_of(self.model)
        if stretch.forget:
            self.optimizer.state.clear()
        with deterministic(), seeded(self._seed):
            self._move(self._processes.device or home)
            self._execution.place(self.model)
            if self._teacher is not None:
                self._teacher.begin(self.model, self._first_inputs, self._execution)
            self._best_epoch = 0  # of another shape than what comes now
            hook.begin(end - begin)
            run = _Run(stretch, hook, begin, end)
            if not self._resume(run):
                self._keep(run)
            self._progress.advance(run.step - begin)
            while run.step < end:
                with self._processes.together(self.model) as parallel:
                    wrong = self._steps(run, parallel)
                if wrong is not None:
                    self._roll_back(run, wrong)
            hook.end()
            if self._teacher is not None:
                self._teacher.end()
        self._move(home)

    def finish(self) -> History:
        """Give the network the weights it is to have, in eval mode, and tell how it went.

        Where BatchNorm statistics are to be taken anew, that is for the caller to do afterwards.
        """
        self._processes.wait()  # the files are those of process 0
        weights.load_into(self.model, self._files.best if self._settings.keep == "best" else self._files.last)
        self.model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.model.eval()
        return History(
            epochs=tuple(self._epochs),
            best_epoch=self._best_epoch,
            rollbacks=self._rollbacks,
            execution=self._execution,
        )

    def _steps(self, run: _Run, parallel: nn.Module) -> str | None:
        """Train until the end of the stretch; says what went wrong as soon as something does."""
        settings, processes_ = self._settings, self._processes
        kept_at = time.monotonic()
        while run.step < run.end:
            epoch, first = divmod(run.step, self._epoch_steps)
            self._train_mode(parallel)
            batches = read_part(
                self._data.train,
                settings.batch_size,
                rng_key=(self._seed, epoch + 1),
                start=first,
                part=(processes_.rank, processes_.count),
            )
            begun = time.perf_counter()
            for inputs, labels, weight in batches:
                rate = self._rate(run)
                for group in self.optimizer.param_groups:
                    group["lr"] = rate
                torch.manual_seed(derive_seed(self._seed, epoch, run.step, processes_.rank))
                loss = self._objective(parallel, inputs, labels, self._execution)
                if weight != 1.0:
                    loss = loss * weight
                value = processes_.mean(loss.detach()).item()
                if run.divergence.seen(value):
                    where = f"epoch {epoch + 1}, step {run.step % self._epoch_steps + 1} of {self._epoch_steps}"
                    return f"the loss became {value:.4g} in {where}, at learning rate {rate:.3g}"
                self.optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                if settings.gradient_clip is not None:
                    nn.utils.clip_grad_norm_(self.model.parameters(), settings.gradient_clip)
                run.hook.before_update(run.step - run.begin)
                self.optimizer.step()
                run.hook.after_update(run.step - run.begin)
                if self.average is not None:
                    self.average.update(self.model)
                run.step += 1
                run.losses.append(value)
                self._progress.advance(epoch=epoch + 1, loss=value)
                if run.step == run.end or run.step % self._epoch_steps == 0:
                    break
                if time.monotonic() - kept_at > self._checkpoint_s:
                    run.seconds += time.perf_counter() - begun
                    wrong = self._keep(run)
                    if wrong is not None:
                        return wrong
                    kept_at, begun = time.monotonic(), time.perf_counter()
            run.seconds += time.perf_counter() - begun
            wrong = self._end_epoch(run, epoch + 1)
            if wrong is not None:
                return wrong
            kept_at = time.monotonic()
        return None

    def _end_epoch(self, run: _Run, number: int) -> str | None:
        """Judge the network and keep its state; says what is wrong with it."""
        judged = self.model if self.average is None else self.average.model
        begun = time.perf_counter()
        try:
            result = self._judge(judged)
        except ModelError as problem:
            return f"after epoch {number}: {problem}"
        last = self._epochs[self._best_epoch - 1].validation_accuracy if self._best_epoch else -math.inf
        self._epochs.append(
            Epoch(
                number=number,
                stretch=self._stretch,
                train_loss=sum(run.losses) / len(run.losses),
                validation_loss=result.loss,
                validation_accuracy=result.accuracy,
                seconds=run.seconds + time.perf_counter() - begun,
            )
        )
        run.losses.clear()
        run.seconds = 0.0
        better = bool(self._processes.tell(result.accuracy >= last))
        if better:
            self._best_epoch = len(self._epochs)
        if self._processes.first:
            # Before the checkpoint: a stop between them repeats the epoch, which writes them again, the same.
            for file in [self._files.best] * better + [self._files.last]:
                weights.save(judged.state_dict(), file)
        return self._keep(run)

    def _keep(self, run: _Run) -> str | None:
        """Write a checkpoint, unless weights are no longer finite: says so then."""
        if not all(bool(torch.isfinite(one).all()) for one in self.model.parameters()):
            return f"weights are no longer finite after epoch {run.step / self._epoch_steps:.2f}"
        average = self.average
        self._files.save(
            self._stretch,
            {
                "processes": self._processes.count,
                "begin": run.begin,
                "end": run.end,
                "step": run.step,
                "slower": run.slower,
                "losses": run.losses,
                "seconds": run.seconds,
                "divergence": run.divergence.state_dict(),
                "hook": run.hook.state_dict(),
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": None if average is None else [average.model.state_dict(), average.updates],
                "epochs": [vars(epoch) for epoch in self._epochs],
                "best_epoch": self._best_epoch,
                "rollbacks": self._rollbacks,
            },
        )
        return None

    def _resume(self, run: _Run) -> bool:
        """Take up what was kept of the stretch; False where nothing was."""
        content = self._files.load(self._stretch)
        if content is None:
            return False
        if content["processes"] != self._processes.count:
            raise InputError(
                f"{self._files.folder} was begun by {content['processes']} processes, now there are "
                f"{self._processes.count}: start as many again (torchrun --nproc-per-node "
                f"{content['processes']}), or remove the folder to start over"
            )
        if (content["begin"], content["end"]) != (run.begin, run.end):
            raise TrainingError(
                f"{self._files.folder} holds steps {content['begin']} to {content['end']} as stretch {self._stretch}, "
                f"now it has {run.begin} to {run.end}: another schedule. Remove the folder to start over"
            )
        weights.fit(self.model, content["model"], where=str(self._files.path(self._stretch)))
        self.optimizer.load_state_dict(content["optimizer"])
        if self.average is not None:
            state, self.average.updates = content["average"]
            self.average.model.load_state_dict(state)
        run.hook.load_state_dict(content["hook"])
        run.divergence.load_state_dict(content["divergence"])
        run.step, run.slower = content["step"], content["slower"]
        run.losses, run.seconds = content["losses"], content["seconds"]
        self._epochs = [Epoch(**epoch) for epoch in content["epochs"]]
        self._best_epoch, self._rollbacks = content["best_epoch"], content["rollbacks"]
        return True

    def _roll_back(self, run: _Run, wrong: str) -> None:
        """Go back to what was kept last, with a lower learning rate.

        Raises:
            TrainingError: That was done often enough.
        """
        self._processes.wait()  # until process 0 has written what is read now
        reached, done = run.step, self._rollbacks
        run.hook.begin(run.end - run.begin)
        self._resume(run)
        if done == ROLLBACKS:
            best = f"the best network so far is in {self._files.best}" if self._best_epoch else "no epoch was complete"
            raise TrainingError(f"{wrong}, after {ROLLBACKS} rollbacks; {best}. {_ADVICE}")
        self._rollbacks = done + 1
        run.slower *= _SLOWER
        self._progress.advance(run.step - reached)
        logger.warning(
            "%s: back to step %d with %g of the learning rate (%d of %d)",
            wrong, run.step, run.slower, self._rollbacks, ROLLBACKS,
        )  # fmt: skip
        self._keep(run)
        self._processes.wait()

    def _move(self, device: torch.device) -> None:
        """Bring network, average and the optimiser's state to ``device``; parameters stay the same objects."""
        for model in (self.model, *self.followers):
            model.to(device)
        for parameter, state in self.optimizer.state.items():
            for key, value in state.items():
                if isinstance(value, Tensor) and value.ndim:  # step counts stay on the CPU
                    state[key] = value.to(parameter.device)

    def _rate(self, run: _Run) -> float:
        begin, end = run.stretch.rate
        position = begin + (end - begin) * (run.step - run.begin) / (run.end - run.begin)
        return run.slower * learning_rate(self._settings, position * self.steps, self._epoch_steps)

    def _train_mode(self, parallel: nn.Module) -> None:
        parallel.train()
        if self._settings.batchnorm == "freeze":
            for layer in parallel.modules():
                if isinstance(layer, _BatchNorm):
                    layer.eval()


@dataclass
class _Run:
    """One stretch under way: what changes from step to step besides the weights."""

    stretch: Stretch
    hook: Hook
    begin: int
    end: int
    step: int = field(init=False)
    slower: float = 1.0
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    divergence: Divergence = field(default_factory=Divergence)

    def __post_init__(self) -> None:
        self.step = self.begin


def learning_rate(settings: TrainingSettings, step: float, steps_per_epoch: int) -> float:
    """The rate of step ``step`` (from 0 over all epochs): linear up to ``settings.lr``, then half a cosine to zero."""
    total = settings.epochs * steps_per_epoch
    warmup = min(round(settings.warmup_epochs * steps_per_epoch), total)
    if step < warmup:
        return settings.lr * min(1.0, (step + 1) / warmup)
    return settings.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def _optimizer(model: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=settings.lr)
    return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.momentum > 0)
