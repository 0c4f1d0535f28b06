"""Training in stretches, such that stopping it at any moment changes nothing but the time."""

from __future__ import annotations

import itertools
import logging
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgeprune.config import TrainingSettings
from edgeprune.errors import DataError, InputError, ModelError, TrainingError
from edgeprune.model import weights
from edgeprune.model.batches import training_steps
from edgeprune.model.data import Data
from edgeprune.model.randomness import derive_seed, seed_generators, seeded
from edgeprune.model.splits import read_part
from edgeprune.progress import SILENT, Progress
from edgeprune.training.average import Average
from edgeprune.training.checkpoint import Checkpoints, identity
from edgeprune.training.distillation import Teacher
from edgeprune.training.divergence import Divergence
from edgeprune.training.evaluate import BrokenError, Evaluation, device_of
from edgeprune.training.execution import Execution, decide, deterministic
from edgeprune.training.history import Epoch, History
from edgeprune.training.hyperparameters import AUTOMATIC, DISTINCT_BATCHES, Hyperparameters, range_test
from edgeprune.training.hyperparameters import batch_size as batch_size_of
from edgeprune.training.hyperparameters import epochs as epochs_of
from edgeprune.training.hyperparameters import optimizer as optimizer_of
from edgeprune.training.judge import Judge
from edgeprune.training.objective import Objective
from edgeprune.training.processes import processes
from edgeprune.training.stretch import Hook, Stretch

logger = logging.getLogger(__name__)

ROLLBACKS = 3
_SLOWER = 0.5  # what the learning rate is multiplied with at each rollback
_ADVICE = "Lower training.lr, or set training.gradient_clip or training.warmup_epochs"
_WORK = {"train": "train", "validation": "validate"}


class Trainer:
    """Trains one network in stretches, between which its shape may change.

    Where the settings say ``auto``, batch size and number of epochs follow from the number of samples, and the learning
    rate from a range test on the network as it is before its first step (see ``hyperparameters``). With ``keep =
    "best"`` the network before the last stretch is a candidate as well, so that training never ends with a network that
    is worse on validation data than the one it began with.

    Linear warm-up, then a cosine to zero (Loshchilov and Hutter 2017), set anew at every step. Weight decay spares
    biases and the parameters of norm layers. Validation runs in float32, whatever the steps run in. Where several
    processes were started each takes its part of every batch, and all end with the same weights.

    Its state is kept in ``folder`` every ``checkpoint_s`` seconds and at the end of each epoch. A later run with the
    same arguments goes on there, and ends with the same bits on a CPU as an undisturbed run with as many threads:
    batches, augmentation, dropout and what a user's step draws of Python, NumPy or torch depend on (seed, epoch, step)
    alone, and precision and memory format are decided once for the folder. A loss that is no longer finite, or far
    above what it was, takes it back to the end of the epoch before (or the beginning of the stretch) with half the
    learning rate from then on, three times at most.

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
        DataError: An empty training or validation split.
        InputError: Fewer samples a step than processes.
        ModelError: The user's loss or step fails where "auto" has it measured.
        RecipeError: The user's loss, step or metric cannot be found or called, or does not go with the teacher.
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
                raise DataError(f"there is nothing to {_WORK[role]} on: the {role} split is empty")
        self.model = model
        self._data = data
        self._settings = settings
        self._seed = seed
        self._teacher = teacher
        self._checkpoint_s = checkpoint_s
        self._processes = processes()
        self._progress = progress if self._processes.first else SILENT
        samples = len(data.train)
        self._batch_size = batch_size_of(settings, samples)
        self._epochs_to_train = epochs_of(settings, samples)
        self._lr = None if settings.lr == "auto" else settings.lr
        if min(self._batch_size, samples) < self._processes.count:
            raise InputError(
                f"training.batch_size: got {self._batch_size}, and {samples} training samples, for "
                f"{self._processes.count} processes, which share a batch; both must be at least as many"
            )
        plain = Objective(settings, base=base)
        self._objective = plain if teacher is None else Objective(settings, teacher=teacher, base=base)
        self._judge = Judge(data.validation, settings, base=base)
        self._epoch_steps = training_steps(samples, self._batch_size)
        self.steps = self._epochs_to_train * self._epoch_steps
        run_identity = identity(
            model.state_dict(),
            seed=seed,
            samples=samples,
            teacher=None if teacher is None else teacher.identity,
            steps=[self._epochs_to_train, self._batch_size],
            **settings.model_dump(mode="json", exclude={"keep"}),
        )
        self._files = Checkpoints(folder, run_identity)
        first = next(iter(data.train.batches(self._batch_size, rng_key=(seed, 1))))
        device = self._processes.device or device_of(model)
        execution = None
        if self._processes.first:
            self._files.sweep()
            execution = decide(model, first, settings, plain, file=self._files.execution, device=device)
        self._execution: Execution = self._processes.tell(execution)
        self._execution.place(model)
        self._device = device
        self._first_inputs = first[0]
        self.optimizer = _optimizer(model, settings)
        self.average = Average(model, settings.ema) if settings.ema else None
        self._epochs: list[Epoch] = []
        self._best_epoch = 0
        self._start_accuracy: float | None = None
        self._rollbacks = 0
        self._stretch = 0
        self._share = 0.0
        self._end = 0
        self._progress.start(self.steps)

    @property
    def followers(self) -> tuple[nn.Module, ...]:
        """Modules with the same tensors as the network, which must change shape with it."""
        return () if self.average is None else (self.average.model,)

    def train(self, stretch: Stretch) -> None:
        """Train for ``stretch``, from where it was interrupted if it was.

        Raises:
            DataError: Labels out of range, inputs that are not finite.
            InputError: The teacher's outputs are of another shape; another number of processes began the run.
            ModelError: The user's loss, step or metric fails: tried once before the first step of all.
            TrainingError: The loss left all bounds again after three rollbacks; the best network stays in ``folder``.
                Or that holds another run.
        """
        self._stretch += 1
        self._share += stretch.share
        begin, self._end = self._end, max(self._end + 1, round(self._share * self.steps))
        run = _Run(stretch, stretch.hook or Hook(), begin, self._end)
        home = device_of(self.model)
        if stretch.forget:
            self.optimizer.state.clear()
        with deterministic(), seeded(self._seed):
            try:
                self._begin(run)
                while run.step < run.end:
                    wrong = self._train_epoch(run)
                    if wrong is not None:
                        self._roll_back(run, wrong)
                self.optimizer.zero_grad()  # they need as much memory as the weights
                run.hook.end()
            finally:
                if self._teacher is not None:
                    self._teacher.end()
                self._move(home)

    def finish(self) -> History:
        """Give the network the weights it is to have, in eval mode, and tell how it went.

        Where BatchNorm statistics are to be taken anew, that is for the caller to do afterwards.
        """
        file = self._files.best if self._settings.keep == "best" else self._files.last
        self.model.load_state_dict(self._processes.tell(weights.read(file) if self._processes.first else None))
        self.model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.model.eval()
        assert self._lr is not None, "chosen before the first step"
        return History(
            epochs=tuple(self._epochs),
            best_epoch=self._best_epoch,
            start_accuracy=self._start_accuracy,
            hyperparameters=Hyperparameters(
                optimizer=optimizer_of(self._settings),
                batch_size=self._batch_size,
                epochs=self._epochs_to_train,
                lr=self._lr,
                distilled=self._teacher is not None and self._teacher.answers,
                automatic=tuple(name for name in AUTOMATIC if getattr(self._settings, name) == "auto"),
            ),
            rollbacks=self._rollbacks,
            execution=self._execution,
        )

    def _begin(self, run: _Run) -> None:
        """Get ready for a stretch, and take up what was kept of it."""
        self._move(self._device)
        for model in (self.model, *self.followers):
            self._processes.same(model)
            self._execution.place(model)
        if self._teacher is not None:
            self._teacher.begin(self.model, self._first_inputs, self._execution)
        self._best_epoch, self._start_accuracy = 0, None  # of another shape than what comes now
        run.hook.begin(run.end - run.begin)
        content = self._processes.tell(self._files.latest(self._stretch) if self._processes.first else None)
        if content is not None:
            self._take_up(run, content)
        else:
            wrong = self._broken(run)
            if wrong is not None:
                raise ModelError(f"the network cannot be trained: {wrong}")
            self._judge_start(run)
            if self._lr is None:
                self._lr = self._processes.tell(self._range_test() if self._processes.first else None)
            self._keep(run)
        self._progress.advance(run.step - run.begin)

    def _judge_start(self, run: _Run) -> None:
        """Evaluate the network before the stretch, where it may be what training ends with or the metric is new.

        Raises:
            ModelError: The user's metric, loss or step fails, or gives a number that is not finite.
        """
        last = self._share >= 1 - 1e-9
        candidate = self._settings.keep == "best" and last and run.stretch.hook is None
        untried = self._stretch == 1 and not self._judge.plain  # now, rather than after an epoch
        if not (candidate or untried):
            return
        judged = self.model if self.average is None else self.average.model
        result = self._judged(judged)
        if isinstance(result, str):
            if untried:
                raise ModelError(f"before training: {result}")
            return
        if candidate:
            self._start_accuracy = result.accuracy
            if self._processes.first:
                weights.save(judged.state_dict(), self._files.best)

    def _range_test(self) -> float:
        """The peak learning rate for the network as it is now; deterministic on a CPU."""
        batches = self._data.train.batches(self._batch_size, rng_key=(self._seed, 0))

        def loss(model: nn.Module, inputs: Any, labels: Any) -> Tensor:
            return self._objective(model, inputs, labels, self._execution)

        with seeded(self._seed, 0):
            return range_test(
                self.model,
                list(itertools.islice(batches, DISTINCT_BATCHES)),
                loss,
                lambda model: _optimizer(model, self._settings),
                settings=self._settings,
            )

    def _train_epoch(self, run: _Run) -> str | None:
        """Train to the end of the epoch or of the stretch; says what went wrong as soon as something does."""
        processes_ = self._processes
        epoch, first = divmod(run.step, self._epoch_steps)
        stop = min(run.end, (epoch + 1) * self._epoch_steps)
        self._train_mode()
        batches = read_part(
            self._data.train,
            self._batch_size,
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
                wrong = self._broken(run)
                if wrong is not None:
                    return wrong
                self._keep(run, underway=True)
                begun = time.perf_counter()
        if run.step < stop:
            raise DataError(
                f"the train split gave {run.step % self._epoch_steps} batches of {self._batch_size} in epoch "
                f"{epoch + 1}, where its {len(self._data.train)} samples make {self._epoch_steps}"
            )
        run.seconds += time.perf_counter() - begun
        return self._end_epoch(run, epoch + 1)

    def _update(self, run: _Run, inputs: Any, labels: Any, weight: float, *, due: bool) -> tuple[str | None, bool]:
        """Make one step; says what is wrong with its loss, and whether a checkpoint is ``due`` in any process."""
        epoch, step = divmod(run.step, self._epoch_steps)
        rate = self._rate(run)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        seed_generators(derive_seed(self._seed, epoch, run.step, self._processes.rank))
        self.optimizer.zero_grad()
        with self._processes.together(self.model):
            loss = self._objective(self.model, inputs, labels, self._execution)
            if weight != 1.0:
                loss = loss * weight
            loss.backward()  # type: ignore[no-untyped-call]
        # Only now, as it waits for a GPU.
        value, due = self._processes.agreed(loss.detach(), due=due)
        if run.divergence.seen(value):
            where = f"epoch {epoch + 1}, step {step + 1} of {self._epoch_steps}"
            return f"the loss became {value:.4g} in {where}, at learning rate {rate:.3g}", due
        self._processes.average_gradients(self.model)
        if self._settings.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self._settings.gradient_clip)
        run.hook.before_update(run.step - run.begin)
        self.optimizer.step()
        run.hook.after_update(run.step - run.begin)
        if self.average is not None:
            self.average.update(self.model)
        run.step += 1
        run.losses.append(value)
        self._progress.advance(epoch=epoch + 1, loss=value)
        return None, due

    def _end_epoch(self, run: _Run, number: int) -> str | None:
        """Judge the network and keep its state; says what is wrong with it."""
        wrong = self._broken(run)
        if wrong is not None:
            return wrong
        judged = self.model if self.average is None else self.average.model
        begun = time.perf_counter()
        result = self._judged(judged)
        if isinstance(result, str):
            return f"after epoch {number}: {result}"
        best = -math.inf if self._start_accuracy is None else self._start_accuracy
        if self._best_epoch:
            best = self._epochs[self._best_epoch - 1].validation_accuracy
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
        better = result.accuracy >= best
        if better:
            self._best_epoch = len(self._epochs)
        if self._processes.first:
            # Before the checkpoint: a stop between them repeats the epoch, which writes them again, the same.
            for file in [self._files.best] * better + [self._files.last]:
                weights.save(judged.state_dict(), file)
        self._keep(run)
        return None

    def _judged(self, model: nn.Module) -> Evaluation | str:
        """Evaluate on validation data in process 0; a message if outputs are not finite."""
        result: Evaluation | str | None = None
        if self._processes.first:
            try:
                result = self._judge(model)
            except BrokenError as problem:
                result = str(problem)
        shared: Evaluation | str = self._processes.tell(result)
        return shared

    def _broken(self, run: _Run) -> str | None:
        """Problem with the weights or the statistics of the network, as a message; None without one."""
        norms = [layer for layer in self.model.modules() if isinstance(layer, _BatchNorm)]
        statistics = [one for layer in norms for one in (layer.running_mean, layer.running_var) if one is not None]
        for tensor in [*self.model.parameters(), *statistics]:
            if not bool(torch.isfinite(tensor).all()):
                return f"weights are not finite after epoch {run.step / self._epoch_steps:.2f}"
        return None

    def _keep(self, run: _Run, *, underway: bool = False) -> None:
        """Write a checkpoint; ``underway``: one within an epoch, which training is never taken back to."""
        if not self._processes.first:
            return
        average = self.average
        self._files.save(
            {
                "processes": self._processes.count,
                "stretch": self._stretch,
                "begin": run.begin,
                "end": run.end,
                "step": run.step,
                "losses": run.losses,
                "seconds": run.seconds,
                "divergence": run.divergence.state_dict(),
                "hook": run.hook.state_dict(),
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": None if average is None else [average.model.state_dict(), average.updates],
                "epochs": [vars(epoch) for epoch in self._epochs],
                "best_epoch": self._best_epoch,
                "start_accuracy": self._start_accuracy,
                "lr": self._lr,
                "rollbacks": self._rollbacks,
            },
            underway=underway,
        )

    def _take_up(self, run: _Run, content: dict[str, Any]) -> None:
        """Go on from what was kept."""
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
        try:
            self.model.load_state_dict(content["model"])
        except RuntimeError as problem:
            raise TrainingError(
                f"{self._files.folder} holds a network of another shape in stretch {self._stretch}: another schedule. "
                "Remove the folder to start over"
            ) from problem
        self.optimizer.load_state_dict(content["optimizer"])
        if self.average is not None:
            state, self.average.updates = content["average"]
            self.average.model.load_state_dict(state)
        run.hook.load_state_dict(content["hook"])
        run.divergence.load_state_dict(content["divergence"])
        run.step = content["step"]
        run.losses, run.seconds = content["losses"], content["seconds"]
        self._epochs = [Epoch(**epoch) for epoch in content["epochs"]]
        self._best_epoch, self._rollbacks = content["best_epoch"], content["rollbacks"]
        self._start_accuracy, self._lr = content["start_accuracy"], content["lr"]

    def _roll_back(self, run: _Run, wrong: str) -> None:
        """Go back to the end of the epoch before, with a lower learning rate.

        Raises:
            TrainingError: That was done often enough.
        """
        content = self._processes.tell(self._files.load(self._stretch) if self._processes.first else None)
        assert content is not None, "kept at the beginning of the stretch"
        reached, done = run.step, self._rollbacks
        self.model.load_state_dict(content["model"])  # before the hook looks at weights that may be NaN
        run.hook.begin(run.end - run.begin)
        self._take_up(run, content)
        if done == ROLLBACKS:
            best = (
                f"the best network so far is in {self._files.best}"
                if self._best_epoch
                else "no epoch gave a better network than before"
            )
            raise TrainingError(f"{wrong}, after {ROLLBACKS} rollbacks; {best}. {_ADVICE}")
        self._rollbacks = done + 1
        self._progress.advance(run.step - reached)
        if self._processes.first:
            logger.warning(
                "%s: back to step %d with %g of the learning rate (%d of %d)",
                wrong, run.step, _SLOWER**self._rollbacks, self._rollbacks, ROLLBACKS,
            )  # fmt: skip
        self._keep(run)

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
        assert self._lr is not None, "chosen before the first step"
        warmup = min(round(self._settings.warmup_epochs * self._epoch_steps), self.steps)
        rate = learning_rate(self._lr, position * self.steps, steps=self.steps, warmup=warmup)
        return _SLOWER**self._rollbacks * rate

    def _train_mode(self) -> None:
        self.model.train()
        if self._settings.batchnorm == "freeze":
            for layer in self.model.modules():
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
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    divergence: Divergence = field(default_factory=Divergence)

    def __post_init__(self) -> None:
        self.step = self.begin


def learning_rate(peak: float, step: float, *, steps: int, warmup: int) -> float:
    """The rate of ``step`` (from 0) of all ``steps``: linear up to ``peak`` in ``warmup`` steps, then half a cosine."""
    if step < warmup:
        return peak * min(1.0, (step + 1) / warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def _optimizer(model: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    # The rate is set before every step.
    if optimizer_of(settings) == "adamw":
        return torch.optim.AdamW(groups, lr=0.0)
    return torch.optim.SGD(groups, lr=0.0, momentum=settings.momentum, nesterov=settings.momentum > 0)
