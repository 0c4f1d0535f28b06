"""Time of training steps of the CIFAR ResNet-56: in each way to run them, and beside a bare PyTorch loop.

    python scripts/bench_training.py ways [--threads 2]       # precision and memory order: milliseconds, peak memory
    python scripts/bench_training.py ratios [--threads 2]     # fine-tuning, distillation, schedules over a bare loop

``ways``: each figure is the median of five steps after two, in a fresh process; ways in turn, two rounds, the better
one counts. ``ratios``: a step is the time from one update to the next, with reading and augmentation; bare loop and
cases run in turn in one process, each round gives the ratio of their median steps, told is the median of the rounds
after the first, and their range. Precision, memory order and augmentation are the same in all. Schedules are those that
reach into steps. With one thread it is processor time, in which other programs have no part. Weights and images are
random: neither changes the time.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

import edgeprune
from edgeprune import criteria, schedules, selection, subprocesses
from edgeprune.config import Budget, DistillationSettings, Recipe, TrainingSettings
from edgeprune.model import network
from edgeprune.model.data import Augment, Data, TensorSplit
from edgeprune.training import Hook, Phase, Teacher, Trainer, feature_layers
from edgeprune.training.precision_and_layout import Precision, StepExecution

BATCH = 128
NETWORKS = {"dense": None, "half the MACs": 0.5}
WAYS = [(precision, order) for precision in ("float32", "bfloat16") for order in (False, True)]
TEACHERS = {
    "labels alone": DistillationSettings(weight=0.0, features=0.0),
    "distilled": DistillationSettings(features=0.0),
    "distilled, features": DistillationSettings(features=1.0),
}
KINDS = ("l1", "elastic_net", "group_lasso", "sparse_group_lasso", "growing", "l0")
AGENTS = ("gates", "attention", "policy")
HOOKS: dict[str, tuple[str, dict[str, Any]]] = {
    "gradual": ("gradual", {}),
    **{f"penalty, {kind}": ("penalty", {"kind": kind}) for kind in KINDS},
    **{f"mask learning, {agent}": ("mask_learning", {"agent": agent}) for agent in AGENTS},
    "variational dropout": ("variational_dropout", {}),
}
_LONG = 1000  # updates that a hook is told of: what it does now and then, twenty times in all, is not in a median step


def measure(share: float | None, precision: Precision, channels_last: bool, threads: int) -> dict[str, float]:
    torch.set_num_threads(threads)
    model, recipe = _network(), _recipe()
    if share is not None:
        example = network.example_inputs(recipe.model.input)
        model = edgeprune.prune(
            model, example, budget={"macs": share}, options={"criterion": "l2", "verify": False}
        ).model
    execution = StepExecution(precision=precision, channels_last=channels_last, threads=threads, step_ms={})
    execution.set_memory_format(model.train())
    images, labels = torch.randn(BATCH, 3, 32, 32), torch.randint(10, (BATCH,))
    times = []
    for _ in range(7):
        started = time.perf_counter()
        functional.cross_entropy(execution.forward(model, images), labels).backward()
        model.zero_grad()
        times.append(1e3 * (time.perf_counter() - started))
    peak_bytes = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"step_ms": statistics.median(times[2:]), "peak_bytes": peak_bytes}


def ways(threads: int) -> None:
    results: dict[tuple[str, str, bool], list[dict[str, float]]] = {}
    for _ in range(2):
        for name in NETWORKS:
            for precision, order in WAYS:
                argv = [sys.executable, __file__, "ways", "--threads", str(threads)]
                done = subprocesses.run([*argv, "--one", name, precision, str(order)], timeout_s=600)
                assert done.returncode == 0, done.stderr
                results.setdefault((name, precision, order), []).append(json.loads(done.stdout))
    for (name, precision, order), item in results.items():
        best = min(item, key=lambda result: result["step_ms"])
        way = precision + (", channels last" if order else "")
        print(f"{name:14} {way:24} {best['step_ms']:6.0f} ms {best['peak_bytes'] / 1e9:6.2f} GB")


def ratios(steps: int, rounds: int) -> None:
    available = {name: case for name, case in HOOKS.items() if case[0] in schedules.registered()}
    results: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds + 1):
        for name, share in NETWORKS.items():
            bare = _bare(_session(share).model, steps)
            for case in (*TEACHERS, *(available if share is None else ())):
                results.setdefault((name, case), []).append(_ours(_session(share), case, steps) / bare)
            print(f"{name}: {1e3 * bare:.0f} ms a bare step", file=sys.stderr, flush=True)
    for (name, case), every in results.items():
        remaining = every[1:]
        print(
            f"{name:14} {case:28} {statistics.median(remaining):5.3f}  ({min(remaining):.3f} to {max(remaining):.3f})"
        )


class _Clock(Hook):
    """Notes when updates are made, and passes on to ``hook``."""

    def __init__(self, hook: Hook) -> None:
        self.hook = hook
        self.seen: list[float] = []
        self._now = time.process_time if torch.get_num_threads() == 1 else time.perf_counter

    def begin(self, steps: int) -> None:
        self.hook.begin(max(steps, _LONG))

    def before_update(self, step: int) -> None:
        self.hook.before_update(step)

    def after_update(self, step: int) -> None:
        self.hook.after_update(step)
        self.seen.append(self._now())

    def end(self) -> None:
        self.hook.end()

    def state_dict(self) -> dict[str, Any]:
        return self.hook.state_dict()

    @property
    def step_s(self) -> float:
        return statistics.median(later - first for first, later in zip(self.seen, self.seen[1:], strict=False))


def _ours(session: schedules.PruningSession, case: str, steps: int) -> float:
    """Seconds of a step of EdgePrune's training, with the teacher or the hook that ``case`` says."""
    settings = _settings(TEACHERS.get(case, TEACHERS["labels alone"]))
    teacher, hook = None, Hook()
    if Teacher.is_enabled(settings):
        dense = _network()
        layers = feature_layers(_session(None).units.groups, dense, session.model, session.kept_indices())
        teacher = Teacher(dense, settings.distillation, layers=layers)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(session.model, _data(steps), settings, folder=Path(folder), teacher=teacher)
        if case in HOOKS:
            schedule, options = HOOKS[case]
            session.optimizer = trainer.network.optimizer
            run = schedules.create(schedule, options).run(session)
            hook = next(phase.hook for phase in run if phase.hook is not None)
        clock = _Clock(hook)
        trainer.train(Phase(fraction=1.0, hook=clock))
    return clock.step_s


def _bare(model: nn.Module, steps: int) -> float:
    """Seconds of a step as one writes it down."""
    settings, clock = _settings(TEACHERS["labels alone"]), _Clock(Hook())
    model.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    assert settings.lr != "auto"
    optimizer = torch.optim.SGD(model.parameters(), settings.lr, settings.momentum, weight_decay=5e-4, nesterov=True)
    for step, (images, labels) in enumerate(_data(steps).train.batches(BATCH, rng_key=(0, 1))):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            outputs = model(images.to(memory_format=torch.channels_last))
        functional.cross_entropy(outputs.float(), labels).backward()
        optimizer.step()
        clock.after_update(step)
    return clock.step_s


def _session(share: float | None) -> schedules.PruningSession:
    """The network with a share of its MACs; None: whole, to be brought to half."""
    example = network.example_inputs(_recipe().model.input)
    choice = schedules.Choice(criteria.create("l2"), selection.create("global"), (), verify=False)
    session = schedules.PruningSession(_network(), example, Budget(macs=share or 0.5), choice)
    if share is not None:
        session.remove(session.choose(session.score()))
    return session


def _settings(distillation: DistillationSettings) -> TrainingSettings:
    changes: Mapping[str, Any] = {"epochs": 1, "precision": "bfloat16", "channels_last": True, "batch_size": BATCH}
    return _recipe().training.model_copy(update={**changes, "distillation": distillation})


def _data(steps: int) -> Data:
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(10, (BATCH * steps,), generator=rng)
    images = torch.randint(256, (len(labels), 3, 32, 32), generator=rng, dtype=torch.uint8)
    train = TensorSplit(images, labels, augment=Augment(crop_padding=4, flip=True))
    return Data(train=train, validation=TensorSplit(images[:8], labels[:8]))


def _recipe() -> Recipe:
    return Recipe.load(Path(__file__).parents[1] / "recipes" / "cifar10-resnet56")


def _network() -> nn.Module:
    return network.load_model(_recipe().model.factory, None, base=_recipe().folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("ways", "ratios"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=12, help="of ratios, a case and round (12)")
    parser.add_argument("--rounds", type=int, default=5, help="of ratios (5)")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        name, precision, order = arguments.one
        print(json.dumps(measure(NETWORKS[name], precision, order == "True", arguments.threads)))
        return
    torch.set_num_threads(arguments.threads)
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, {arguments.threads} threads")
    if arguments.what == "ways":
        ways(arguments.threads)
    else:
        ratios(arguments.steps, arguments.rounds)


if __name__ == "__main__":
    main()
