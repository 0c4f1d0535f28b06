"""Run the files that a microcontroller may be given in TFLite Micro: outputs, RAM and flash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.job import DENSE_INT8_TFLITE, PROFILE, Job
from edgeprune.pipeline.stage import Space, Stage
from edgeprune.profile import Profile

if TYPE_CHECKING:
    from edgeprune.backends.feeding import Array
    from edgeprune.model.splits import Split

_MACS = 12_000_000_000
"""Largest number of multiply-adds of all samples together: plain kernels take about 1.4 ns for one."""
_FEWEST = 100


def _settings(_recipe: Recipe, _target: Target) -> Mapping[str, Any]:
    return {"macs": _MACS, "fewest": _FEWEST}


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    from edgeprune.backends import tflm

    file = job.exported.get("int8")
    shipped = job.exported["float32"] if file is None else file
    found: dict[str, Any] = {
        "dense": _described(tflm.footprint(job.file("preflight", DENSE_INT8_TFLITE))),
        "shipped": _described(tflm.footprint(shipped)),
    }
    if file is not None:
        found["agreement"] = _agreement(job, file, space)
    # Latency and memory of plain kernels on this machine say nothing of a board: 'edgeprune profile' asks the board.
    device = {"uri": "", "runtime": "tflite-micro", "runtime_version": version("tflite-micro")}
    (space.out / PROFILE).write_text(Profile(device, {}, {}, {}).to_json(), encoding="utf-8")
    return found


def _described(found: Any) -> Mapping[str, Any]:
    return {
        **asdict(found),
        "arena_bytes": found.arena_bytes,
        "restated_bytes": found.arena.restated_for_32_bit,
        "flash_bytes": found.flash_bytes,
        "flash_band": found.flash_band,
    }


def _agreement(job: Job, file: Path, space: Space) -> Mapping[str, Any]:
    from edgeprune.backends import tflm

    split = job.reported_split
    macs = max(job.value("select")["after"]["macs"], 1)
    count = min(len(split), max(_FEWEST, _MACS // macs))
    samples, labels = _first(split, count)
    plain = job.objective.plain and job.judge(split).plain
    found = tflm.compare(file, samples, classes=plain, labels=labels if plain else None, progress=space.progress)
    return asdict(found)


def _first(split: Split, count: int) -> tuple[Array, Array]:
    """The first ``count`` samples (N, ...), and their labels (N, ...)."""
    import numpy as np

    inputs, labels, seen = [], [], 0
    for batch, answers in split.batches(count):
        inputs.append(batch.numpy())
        labels.append(answers.numpy())
        seen += len(labels[-1])
        if seen >= count:
            break
    return np.concatenate(inputs)[:count], np.concatenate(labels)[:count]


STAGE = Stage(
    "microcontroller",
    "run TFLite Micro",
    after=("preflight", "quantize", "evaluate"),
    settings=_settings,
    run=_run,
    stands_for=("profile",),
)
