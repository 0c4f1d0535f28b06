"""Latency and memory of the dense and the pruned network, on this machine or the device that was given.

A backend that knows RAM and flash without a device reports them instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline import fingerprint
from edgeprune.pipeline.job import PROFILE, Job
from edgeprune.pipeline.stage import Space, Stage
from edgeprune.profile.result import DENSE, PRUNED, Profile

if TYPE_CHECKING:
    from edgeprune.backends.feeding import Array
    from edgeprune.backends.footprint import Footprint
    from edgeprune.model.data import Split

_MACS = 12_000_000_000
"""Largest number of multiply-adds of all samples that are compared: plain kernels take about 1.4 ns for each."""
_FEWEST = 100


def _settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    return {
        "profile": target.profile.model_dump(mode="json"),
        "runtime": target.runtime.model_dump(mode="json"),
        "seed": recipe.seed,
        "machine": fingerprint.machine(),
        "compared": [_MACS, _FEWEST],
    }


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    footprint = _footprint(job, space)
    profile = _measured(job, space) if footprint is None else _not_measured(job)
    (space.out / PROFILE).write_text(profile.to_json(), encoding="utf-8")
    return {
        "latency_ms": {name: model.latency_ms.p50 for name, model in profile.models.items()},
        "footprint": footprint,
    }


def _measured(job: Job, space: Space) -> Profile:
    """Profile of the models that run on the device as they will run on the target."""
    from edgeprune.devices import Local
    from edgeprune.profile import measure
    from edgeprune.profile.profiling import invalid

    threads, cores, here = job.target.runtime.threads, fingerprint.machine()["cores"], isinstance(job.device, Local)
    # The float32 form is what pruning is judged by; others are judged against it, where they run as they will there.
    host = job.backend.host
    models = {name: file for name, file in job.exported.items() if host is job.backend or name == "float32"}
    settings = job.target.profile
    profile = measure(
        {
            DENSE: job.file("preflight", job.value("preflight")["float32"]),
            **{PRUNED if name == "float32" else name: file for name, file in models.items()},
        },
        job.device,
        threads=min(threads or cores, cores) if here else threads,
        warmup=settings.warmup,
        runs=settings.runs,
        blocks=settings.blocks,
        spinning=job.target.runtime.spinning,
        seed=job.recipe.seed,
        progress=space.progress,
    )
    problem = None if here else invalid(profile)
    if problem is not None:
        raise problem
    return profile


def _not_measured(job: Job) -> Profile:
    """Profile without models: latency and memory on this machine say nothing about a board without its system."""
    device = {"uri": "", "runtime": job.backend.name, "runtime_version": job.backend.installed_version}
    return Profile(device, {}, {}, {})


def _footprint(job: Job, space: Space) -> Mapping[str, Any] | None:
    """RAM and flash of the dense and the shipped model, and how far outputs differ from the host's; None if unknown."""
    backend = job.backend
    dense = backend.footprint(job.file("preflight", job.value("preflight")["probe"]), job.target)
    if dense is None:
        return None
    *_, file = job.exported.values()
    shipped = backend.footprint(file, job.target)
    assert shipped is not None
    found: dict[str, Any] = {"dense": _described(job, dense, "before"), "shipped": _described(job, shipped, "after")}
    if "int8" in job.exported:
        found["agreement"] = _agreement(job, file, space)
    return found


def _described(job: Job, found: Footprint, when: str) -> Mapping[str, Any]:
    latency = job.backend.estimate_latency(found, job.target, job.value("select")[when]["macs"])
    return {
        **asdict(found),
        "arena_bytes": found.arena_bytes,
        "restated_bytes": found.arena.restated_for_32_bit,
        "flash_bytes": found.flash_bytes,
        "flash_band": found.flash_band,
        "latency": None if latency is None else asdict(latency),
    }


def _agreement(job: Job, file: Path, space: Space) -> Mapping[str, Any]:
    split = job.reported_split
    macs = max(job.value("select")["after"]["macs"], 1)
    count = min(len(split), max(_FEWEST, _MACS // macs))
    samples, labels = _first(split, count)
    plain = job.objective.plain and job.judge(split).plain
    found = job.backend.compare_with_host(
        file, samples, classes=plain, labels=labels if plain else None, progress=space.progress
    )
    assert found is not None
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
    "profile",
    "profile",
    after=("preflight", "export", "quantize", "evaluate"),
    settings=_settings,
    run=_run,
    reads_device=True,
    holds=lambda job, _: not job.lock.update,
)
