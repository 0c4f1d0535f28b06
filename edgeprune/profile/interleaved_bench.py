"""How models are measured: each in a process of its own, in turn and in blocks, so that drift hits all of them.

The models A and B are loaded and warmed up one after the other; then follow the blocks A B A B ... Their processes stay
alive in between, and only one of them works at any time. Around and during the blocks the state of the device is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgeprune import backends, files
from edgeprune.devices import Capability, Device, Local, Workspace
from edgeprune.evidence import Kind
from edgeprune.profile import device_state, latency_noise, latency_statistics
from edgeprune.profile import golden_samples as goldens
from edgeprune.profile.device_state import DeviceMonitor, DeviceSample
from edgeprune.profile.golden_samples import Golden
from edgeprune.profile.profile_result import Environment, Figure, ModelProfile, Profile, RatioFigure, Validity
from edgeprune.profile.runner_client import Runner
from edgeprune.progress import SILENT, Progress

_NO_SETTINGS = ("threads", "timeout_s", "load_s")
"""Conditions that are not in the profile's settings: threads are stated by model, and timeouts change no figure."""


@dataclass(frozen=True)
class MeasurementSettings:
    """How to measure.

    Attributes:
        threads: Of one inference; None: every core of the device.
        warmup: Fewest inferences of the first warm-up, and unmeasured ones at the start of each block.
        runs: Measured inferences of each model, over all blocks; a fast model makes more.
        blocks: How often the models take turns.
        block_s: Shortest block in seconds, so that a fast model is not judged by one moment (at most 2000 inferences).
        spinning: Threads of the runtime wait busily for work: faster, unless others want the cores.
        seed: Seed of the random input.
        timeout_s: Longest wait for one answer of the device.
        load_s: Longest wait until a model is loaded, where that may take longer.
        noise: How far the medians of a model's blocks may lie apart, over their median; None: any.
        retries: How often all blocks are measured anew where they are too noisy.
    """

    threads: int | None = None
    warmup: int = 20
    runs: int = 300
    blocks: int = 3
    block_s: float = 0.25
    spinning: bool = True
    seed: int = 0
    timeout_s: float = 300.0
    load_s: float = 0.0
    noise: float | None = None
    retries: int = 0


def default_scripts(model: Path) -> tuple[Path, ...]:
    """The scripts that run the file ``model``, by its suffix; the first is started.

    Raises:
        ModelError: No backend has this suffix.
    """
    runner = backends.for_file(model).runner
    assert runner is not None
    return runner.files


def measure(
    models: Mapping[str, Path],
    device: Device | None = None,
    *,
    runner: Path | Sequence[Path] | None = None,
    golden: Mapping[str, Golden] | None = None,
    progress: Progress = SILENT,
    **conditions: Any,
) -> Profile:
    """Measure latency and memory of models on a device. Whether the figures may be used its ``validity`` tells.

    Args:
        models: Model files by name; ratios are over the first.
        device: Where; default: this machine.
        runner: The script that runs them there, and those that have to lie beside it; None: that of their backend.
        golden: By model, what it must answer.
        progress: Advances by a block.
        conditions: See ``MeasurementSettings``.

    Raises:
        DeviceError: The device cannot be reached, or the runner fails, answers nonsense or not in time.
    """
    device = device or Local()
    with device.open() as workspace:
        bench = InterleavedBench(
            workspace, device, models, MeasurementSettings(**conditions), runner=runner, golden=golden
        )
        return bench.measure(progress)


class InterleavedBench:
    """Models that are ready to be measured on a device: their files are there, and their runners wait.

    Attributes:
        host: The same for devices that are one machine, and so must not measure at the same time.
    """

    def __init__(
        self,
        workspace: Workspace,
        device: Device,
        models: Mapping[str, Path],
        conditions: MeasurementSettings,
        *,
        runner: Path | Sequence[Path] | None = None,
        beside: Mapping[str, Sequence[Path]] | None = None,
        golden: Mapping[str, Golden] | None = None,
    ) -> None:
        self._device = device
        self._models = models
        self._golden: Mapping[str, Golden] = golden or {}
        scripts = [runner] if isinstance(runner, Path) else list(runner or default_scripts(next(iter(models.values()))))
        there = {name: workspace.push(path, *(beside or {}).get(name, ())) for name, path in models.items()}
        script = workspace.push(*scripts)
        self._runners = {name: Runner(workspace, script, name, conditions.timeout_s) for name in models}
        self._there = there
        machine: Mapping[str, Any] = next(iter(self._runners.values())).machine
        self._kind: Kind = "emulated" if machine.get("emulated") is True else device.kind
        # How noisy an emulated time is matters to nobody.
        self._conditions = conditions if self._kind == "measured" else replace(conditions, noise=None)
        self._gpu = machine.get("provider", "cpu") != "cpu"
        knows = Capability.STATE in device.capabilities
        self._monitor = DeviceMonitor(workspace, gpu=machine.get("provider") == "cuda") if knows else None
        self._machine: dict[str, Any] = {**machine, **(self._monitor.device if self._monitor else {})}
        self.host = (self._monitor.boot if self._monitor else None) or device.uri

    def measure(self, progress: Progress = SILENT) -> Profile:
        """Load, warm up, measure and compare; the bench is of no use afterwards.

        Raises:
            DeviceError: As ``measure``.
        """
        how, device = self._conditions, self._device
        progress.start(len(self._models) * how.blocks)
        gpu_bytes = {name: self._load(name) for name in self._models}
        passed = self._quiet_pass(progress)
        measured: dict[str, ModelProfile] = {}
        checks = {}
        for name, runner in self._runners.items():
            memory = runner.memory() if Capability.MEMORY in device.capabilities else {}
            layers = runner.layers() if Capability.PER_LAYER in device.capabilities else None
            answered = runner.outputs(self._golden[name].inputs) if name in self._golden else None
            if answered is not None:
                checks[name] = self._golden[name].of(runner.precision).compare(answered)
            runner.end()
            mean_ms = latency_statistics.latency(runner.blocks_ms).mean
            energy = device_state.energy_mj(device_state.mean_power_mw(passed.during[name]), mean_ms)
            measured[name] = runner.result(
                files.sha256(self._models[name]),
                self._kind,
                memory,
                layers=layers,
                gpu_memory_bytes=_figure(gpu_bytes[name], self._kind),
                energy_mj=_figure(energy, self._kind),
            )
        problems = [*passed.problems, *goldens.problems(checks)]
        noise = {name: latency_statistics.noise(runner.blocks_ms) for name, runner in self._runners.items()}
        return Profile(
            device={"uri": device.uri, **self._machine, "fingerprint": fingerprint(self._machine)},
            settings={name: value for name, value in asdict(how).items() if name not in _NO_SETTINGS},
            models=measured,
            ratios=_ratios(measured, self._kind),
            environment=passed.environment,
            validity=Validity(not problems, tuple(problems), noise, how.noise, passed.attempts, checks),
        )

    def _load(self, name: str) -> float | None:
        """Load and warm up; returns the bytes that this took of the GPU's memory, where there is one."""
        how, before = self._conditions, self._take()
        runner = self._runners[name]
        longest_s = max(how.load_s, how.timeout_s)
        runner.load(self._there[name], threads=how.threads, spinning=how.spinning, seed=how.seed, timeout_s=longest_s)
        runner.warm_up(how.warmup)
        after = self._take()
        if not (before and after) or before[-1].gpu_memory_bytes is None or after[-1].gpu_memory_bytes is None:
            return None
        return max(0, after[-1].gpu_memory_bytes - before[-1].gpu_memory_bytes)

    def _quiet_pass(self, progress: Progress) -> _Pass:
        """All blocks, again where they were too noisy and may be measured anew."""
        for attempt in range(1, self._conditions.retries + 2):
            for runner in self._runners.values():
                runner.forget()
            passed = replace(self._pass(progress), attempts=attempt)
            if not passed.noisy:
                break
        return passed

    def _pass(self, progress: Progress) -> _Pass:
        how = self._conditions
        before = self._take()
        during: dict[str, list[DeviceSample]] = {name: [] for name in self._models}
        for block in range(how.blocks):
            share = how.runs // how.blocks + (block < how.runs % how.blocks)
            for name, runner in self._runners.items():
                median = runner.measure(how.warmup, max(1, share), how.block_s)
                during[name] += self._take()
                progress.advance(p50_ms=median)
        noisy = [
            f"{name} is too noisy: the medians of its blocks lie {noise:.1%} apart, {how.noise:.1%} is allowed"
            for name, runner in self._runners.items()
            if how.noise is not None and (noise := latency_statistics.noise(runner.blocks_ms)) > how.noise
        ]
        return _Pass(before, during, noisy, gpu=self._gpu)

    def _take(self) -> list[DeviceSample]:
        return self._monitor.take() if self._monitor else []


@dataclass(frozen=True)
class _Pass:
    """All blocks once, and the state of the device meanwhile."""

    before: Sequence[DeviceSample]
    during: Mapping[str, Sequence[DeviceSample]]
    noisy: Sequence[str]
    gpu: bool
    attempts: int = 1

    @property
    def _samples(self) -> list[DeviceSample]:
        return sorted((one for several in self.during.values() for one in several), key=lambda one: one.at_s)

    @property
    def environment(self) -> Environment | None:
        if not self.before:
            return None
        samples = self._samples
        return device_state.environment(self.before[-1], samples, samples[-1])

    @property
    def problems(self) -> list[str]:
        if not self.before:
            return list(self.noisy)
        samples = self._samples
        return [*device_state.problems(self.before[-1], samples, samples[-1], gpu=self.gpu), *self.noisy]


def fingerprint(machine: Mapping[str, Any]) -> str:
    """Sixteen hexadecimal digits, the same for the same device, system and runtime."""
    return hashlib.sha256(json.dumps(machine, sort_keys=True).encode()).hexdigest()[:16]


def _figure(value: float | None, kind: Kind) -> Figure | None:
    return None if value is None else Figure(value, kind)


def _ratios(measured: Mapping[str, ModelProfile], kind: Kind) -> dict[str, RatioFigure]:
    """Ratios over the first model; none for a single block, which has no interval."""
    first, *others = measured
    base = measured[first].blocks_ms
    ratios = {name: latency_noise.ratio(base, measured[name].blocks_ms) for name in others if len(base) > 1}
    return {name: RatioFigure(**asdict(ratio), kind=kind) for name, ratio in ratios.items()}
