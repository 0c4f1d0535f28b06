"""Training of a network that has weights already, such that stopping it at any moment changes nothing but the time."""

from __future__ import annotations

import math
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from edgeprune.config import TrainingSettings
from edgeprune.errors import DataError, ModelError, TrainingError
from edgeprune.model import weights
from edgeprune.model.data import Data, check_batch
from edgeprune.model.randomness import seeded
from edgeprune.model.splits import training_steps
from edgeprune.progress import SILENT, Progress
from edgeprune.training.checkpoint import Checkpoints, identity
from edgeprune.training.evaluate import evaluate
from edgeprune.training.execution import Execution, decide, deterministic
from edgeprune.training.history import Epoch, History


def finetune(
    model: nn.Module,
    data: Data,
    settings: TrainingSettings,
    *,
    seed: int = 0,
    folder: Path,
    progress: Progress = SILENT,
) -> History:
    """Train ``model`` on ``data.train``; in the end it has the weights of its best epoch on ``data.validation``.

    Linear warm-up, then a cosine to zero (Loshchilov and Hutter 2017), set anew at every step. Weight decay spares
    biases and the parameters of norm layers. Validation runs in float32, whatever the steps run in.

    After each epoch the whole state is kept in ``folder``. A later call with the same arguments goes on after the last
    whole epoch, and ends with the same bits on a CPU as an undisturbed run with as many threads: batches, augmentation
    and dropout depend on (seed, epoch, step) alone, and precision and memory format are decided once for the folder.

    Args:
        model: Changed in place; trained where it is (CPU or GPU). In eval mode afterwards.
        data: Its test split is not touched.
        settings: ``training`` of a recipe; with 0 epochs nothing is done.
        seed: Of shuffling, augmentation and dropout.
        folder: For ``last.pt``, ``best.safetensors`` and ``execution.json``, see ``Checkpoints``.
        progress: Told of every step.

    Raises:
        DataError: An empty training split, labels out of range, inputs that are not finite.
        TrainingError: The loss or the weights are no longer finite (the checkpoints of whole epochs stay), or
            ``folder`` belongs to another run.
    """
    if settings.epochs == 0:
        return History()
    if len(data.train) == 0:
        raise DataError("there is nothing to train on: the train split is empty")
    steps = training_steps(len(data.train), settings.batch_size)
    files = Checkpoints(
        folder,
        identity(model.state_dict(), seed=seed, samples=len(data.train), **settings.model_dump(mode="json")),
    )
    with deterministic():
        first = next(iter(data.train.batches(settings.batch_size, rng_key=(seed, 1))))
        execution = decide(model, first, settings, file=files.execution)
        execution.place(model)
        optimizer = _optimizer(model, settings)
        epochs, best_epoch = files.resume(model, optimizer)
        progress.start(settings.epochs * steps)
        progress.advance(len(epochs) * steps)
        for number in range(len(epochs) + 1, settings.epochs + 1):
            kept = f"the weights after epoch {number - 1} are in {files.last}" if epochs else "no epoch was complete"
            begun = time.perf_counter()
            train_loss = _train_epoch(
                model, data, settings, optimizer, execution, seed=seed, number=number, kept=kept, progress=progress
            )
            try:
                result = evaluate(model, data.validation)
            except ModelError as problem:
                raise TrainingError(f"after epoch {number}: {problem}; {kept}. {_ADVICE}") from problem
            epochs.append(
                Epoch(
                    number=number,
                    train_loss=train_loss,
                    validation_loss=result.loss,
                    validation_accuracy=result.accuracy,
                    seconds=time.perf_counter() - begun,
                )
            )
            best_accuracy = epochs[best_epoch - 1].validation_accuracy if best_epoch else 0.0
            best_epoch = number if result.accuracy >= best_accuracy else best_epoch
            files.save(model, optimizer, epochs, best_epoch)
    weights.load_into(model, files.best)
    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    model.eval()
    return History(epochs=tuple(epochs), best_epoch=best_epoch, execution=execution)


_ADVICE = "Lower training.lr, or set training.gradient_clip or training.warmup_epochs"


def learning_rate(settings: TrainingSettings, step: int, steps_per_epoch: int) -> float:
    """The rate of step ``step`` (from 0 over all epochs): linear up to ``settings.lr``, then half a cosine to zero."""
    total = settings.epochs * steps_per_epoch
    warmup = min(round(settings.warmup_epochs * steps_per_epoch), total)
    if step < warmup:
        return settings.lr * (step + 1) / warmup
    return settings.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def _train_epoch(
    model: nn.Module,
    data: Data,
    settings: TrainingSettings,
    optimizer: torch.optim.Optimizer,
    execution: Execution,
    *,
    seed: int,
    number: int,
    kept: str,
    progress: Progress,
) -> float:
    """One pass; returns the mean loss."""
    steps = training_steps(len(data.train), settings.batch_size)
    total_loss = 0.0
    model.train()
    with seeded(seed, number):
        for step, (inputs, labels) in enumerate(data.train.batches(settings.batch_size, rng_key=(seed, number))):
            rate = learning_rate(settings, (number - 1) * steps + step, steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            outputs = execution.forward(model, inputs)
            check_batch(inputs, labels, outputs.shape[1], where="training")
            loss = functional.cross_entropy(
                outputs, labels.to(outputs.device), label_smoothing=settings.label_smoothing
            )
            value = loss.item()
            if not math.isfinite(value):
                raise TrainingError(
                    f"the loss became {value} in epoch {number}, step {step + 1} of {steps}, at learning rate "
                    f"{rate:.3g}; {kept}. {_ADVICE}"
                )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            if settings.gradient_clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
            optimizer.step()
            total_loss += value
            progress.advance(epoch=number, loss=value)
    return total_loss / steps


def _optimizer(model: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=settings.lr)
    return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.momentum > 0)
