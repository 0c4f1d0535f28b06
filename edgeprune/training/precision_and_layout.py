"""Precision and memory format of training steps, chosen once for a run by measurement.

Both change the last bits of every result. The choice is therefore written to the folder of the run before its first
step, and a resumed run reads it instead of measuring again.

Measured by `scripts/bench_training.py ways` (forward and backward, batch 128 of 3x32x32) with ResNet-56 on 2 cores
of an AMD EPYC with AVX512-BF16 and torch 2.13, median of four, and the peak memory of the process:

    float32                  868 ms    0.99 GB
    float32, channels last   610 ms    0.93 GB
    bfloat16                 441 ms    0.64 GB
    bfloat16, channels last  376 ms    0.62 GB

The order depends on the network: a small network on 8x8 images (the digits recipe) took 7.5 ms in float32 with channels
last, and 12.9 ms in bfloat16.
"""

from __future__ import annotations

import copy
import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from edgeprune import safe_json
from edgeprune.config import TrainingSettings
from edgeprune.errors import ModelError, TrainingError
from edgeprune.files import write_atomic
from edgeprune.graph.memory_format import is_channels_last_safe
from edgeprune.model.seeding import seeded
from edgeprune.training.evaluate import call, device_of, moved

logger = logging.getLogger(__name__)

Precision = Literal["float32", "bfloat16"]

_ROUNDS = 3
_LIMIT_S = 10.0  # no further round after this duration of the measurement
_GAIN = 0.9  # a variant other than contiguous float32 must take at most this fraction of the time


@dataclass(frozen=True, kw_only=True)
class StepExecution:
    """Precision and memory format of training steps.

    Attributes:
        precision: Precision of the forward pass: float32, or bfloat16 by autocast (weights and updates are float32).
        channels_last: Whether images and weights of convolutions are in channels-last order, while the network allows
            it (see ``is_channels_last_safe``): pruning changes it between phases.
        threads: Number of torch threads at the time of the choice; another number rounds differently.
        step_ms: Measured duration of a step in milliseconds, by variant; empty if the settings left no choice.
    """

    precision: Precision
    channels_last: bool
    threads: int
    step_ms: dict[str, float]

    def set_memory_format(self, model: nn.Module) -> None:
        """Convert the weights of ``model`` to the memory format."""
        order = torch.channels_last if self._is_channels_last(model) else torch.contiguous_format
        model.to(memory_format=order)  # type: ignore[call-overload]

    def autocast(self, model: nn.Module) -> torch.autocast:
        """Return a context in which ``model`` runs in the precision."""
        return torch.autocast(device_of(model).type, torch.bfloat16, enabled=self.precision == "bfloat16")

    def moved(self, model: nn.Module, batch: Any) -> Any:
        """Return ``batch`` (inputs or labels) with its tensors on the device of ``model``, in the memory format."""
        return moved(batch, device_of(model), channels_last=self._is_channels_last(model))

    def forward(self, model: nn.Module, inputs: Any) -> Any:
        """Return the outputs of ``model``, with floating-point tensors as float32; for ``inputs`` see ``call``."""
        with self.autocast(model):
            outputs = call(model, self.moved(model, inputs))
        return pytree.tree_map_only(Tensor, lambda one: one.float() if one.is_floating_point() else one, outputs)

    def _is_channels_last(self, model: nn.Module) -> bool:
        """Return whether ``model`` is in channels-last order: as chosen, unless training would crash in it."""
        return self.channels_last and (device_of(model).type != "cpu" or is_channels_last_safe(model))


DEFAULT_EXECUTION = StepExecution(precision="float32", channels_last=False, threads=0, step_ms={})
"""Contiguous float32, without a measurement."""

Loss = Callable[[nn.Module, Any, Any, StepExecution], Tensor]


def decide(
    model: nn.Module, batch: Any, settings: TrainingSettings, loss: Loss, *, file: Path, device: torch.device
) -> StepExecution:
    """Read the execution from ``file``, or choose it by the settings and write it; ``auto`` is measured on ``device``.

    Raises:
        TrainingError: ``file`` is damaged.
    """
    if file.is_file():
        execution = _read(file)
        if execution.threads != torch.get_num_threads():
            logger.warning(
                "%s belongs to a training run with %d threads, but torch now uses %d: weights may differ by rounding",
                file.parent, execution.threads, torch.get_num_threads(),
            )  # fmt: skip
        return execution
    execution = _choose(model, batch, _candidates(settings), loss, device)
    write_atomic(file, json.dumps(asdict(execution), indent=2) + "\n")
    return execution


@contextmanager
def deterministic() -> Iterator[None]:
    """Context with deterministic algorithms; torch warns of operations without one."""
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    filling: Any = torch.utils.deterministic  # of new memory: it costs time, and finds bugs only
    fill = filling.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    filling.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        filling.fill_uninitialized_memory = fill
        torch.backends.cudnn.benchmark = benchmark


def _candidates(settings: TrainingSettings) -> list[StepExecution]:
    """Return every variant that the settings allow, contiguous float32 first."""
    precisions: tuple[Precision, ...] = get_args(Precision) if settings.precision == "auto" else (settings.precision,)
    orders = (False, True) if settings.channels_last == "auto" else (settings.channels_last,)
    threads = torch.get_num_threads()
    return [
        StepExecution(precision=precision, channels_last=order, threads=threads, step_ms={})
        for precision in precisions
        for order in orders
    ]


def _choose(
    model: nn.Module, batch: Any, candidates: list[StepExecution], loss: Loss, device: torch.device
) -> StepExecution:
    if len(candidates) == 1:
        return candidates[0]
    ready: dict[str, tuple[StepExecution, nn.Module]] = {}
    for candidate in candidates:
        name = candidate.precision + (", channels last" if candidate.channels_last else "")
        trial = copy.deepcopy(model).to(device).train()
        try:
            candidate.set_memory_format(trial)
            _step(trial, batch, candidate, loss)  # the first step also builds kernels
        except (RuntimeError, ModelError) as problem:  # an operation without such a kernel, or a user's loss without
            if not ready:
                raise
            logger.info("training in %s does not work here: %s", name, problem)
            continue
        ready[name] = candidate, trial
    step_ms = dict.fromkeys(ready, math.inf)
    started = time.perf_counter()
    for _ in range(_ROUNDS):
        for name, (candidate, trial) in ready.items():  # interleaved, so that drift affects all variants
            begun = time.perf_counter()
            _step(trial, batch, candidate, loss)
            # The minimum: other programs on the machine can only add time.
            step_ms[name] = min(step_ms[name], 1e3 * (time.perf_counter() - begun))
        if time.perf_counter() - started > _LIMIT_S:
            break
    best, *others = ready
    for name in others:
        best = name if step_ms[name] < _GAIN * step_ms[best] else best
    chosen = ready[best][0]
    logger.info("training in %s: %s", best, ", ".join(f"{name} {ms:.0f} ms" for name, ms in step_ms.items()))
    return StepExecution(
        precision=chosen.precision, channels_last=chosen.channels_last, threads=chosen.threads, step_ms=step_ms
    )


def _step(model: nn.Module, batch: Any, execution: StepExecution, loss: Loss) -> None:
    """Run a forward and backward pass without an update."""
    inputs, labels = batch
    with seeded(0):
        loss(model, inputs, labels, execution).backward()  # type: ignore[no-untyped-call]
    model.zero_grad()
    if device_of(model).type == "cuda":
        torch.cuda.synchronize()


def _read(file: Path) -> StepExecution:
    try:
        return StepExecution(**safe_json.load(file))
    except (ValueError, TypeError) as problem:
        raise TrainingError(f"{file} is damaged ({problem}): remove {file.parent} to start over") from problem
