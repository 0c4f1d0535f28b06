"""Interleaved measurement of models in blocks, so that drift affects all models equally.

Each model runs in a separate process. The models A and B are loaded and warmed up one after the other; then the blocks
A B A B ... follow. All processes remain alive, and only one of them works at any time. The state of the device is read
before, during and after the blocks.
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
    """Settings of a measurement.

    Attributes:
        threads: Number of threads of one inference; None: all cores of the device.
        warmup: Minimum number of inferences of the first warm-up, and number of unmeasured inferences per block.
        runs: Minimum number of measured inferences of each model over all blocks.
        blocks: Number of blocks of each model.
        block_s: Minimum duration of a block in seconds, with at most 2000 inferences.
        spinning: Whether threads of the runtime wait busily, which is faster unless other programs need the cores.
        seed: Seed of the random input.
        timeout_s: Timeout of one answer of the device in seconds.
        load_s: Timeout of loading a model in seconds, if it is larger.
        noise: Largest allowed range of the block medians of a model, relative to their median; None: any.
        retries: Number of times that all blocks are measured again if they are too noisy.
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
    """Return the runner scripts for the file ``model``, by its suffix; the first one is started.

    Raises:
        ModelError: No backend supports this suffix.
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
    """Measure latency and memory of models on a device. ``Profile.validity`` states whether the results may be used.

    Args:
        models: Model files by name; latency ratios are relative to the first.
        device: Device to measure on. Defaults to this machine.
        runner: Script that runs the models, and its companion scripts. Defaults to those of the backend.
        golden: Expected outputs by model.
        progress: Progress, which advances by a block.
        conditions: Fields of ``MeasurementSettings``.

    Raises:
        DeviceError: The device cannot be reached, or the runner fails, times out or sends an invalid answer.
    """
    device = device or Local()
    with device.open() as workspace:
        bench = InterleavedBench(
            workspace, device, models, MeasurementSettings(**conditions), runner=runner, golden=golden
        )
        return bench.measure(progress)


class InterleavedBench:
    """Measurement of models whose files and runners are on a device.

    Attributes:
        host: Identifier of the machine. Devices with the same identifier must not measure at the same time.
    """

    def __init__(
        self,
        workspace: Workspace,
        device: Device,
        models: Mapping[str, Path],
        conditions: MeasurementSettings,
        *,
        runner: Path | Sequence[Path] | None = None,
        companion_files: Mapping[str, Sequence[Path]] | None = None,
        golden: Mapping[str, Golden] | None = None,
    ) -> None:
        self._device = device
        self._models = models
        self._golden: Mapping[str, Golden] = golden or {}
        scripts = [runner] if isinstance(runner, Path) else list(runner or default_scripts(next(iter(models.values()))))
        remote_paths = {
            name: workspace.push(path, *(companion_files or {}).get(name, ())) for name, path in models.items()
        }
        script = workspace.push(*scripts)
        self._runners = {name: Runner(workspace, script, name, conditions.timeout_s) for name in models}
        self._remote_paths = remote_paths
        machine: Mapping[str, Any] = next(iter(self._runners.values())).machine
        self._kind: Kind = "emulated" if machine.get("emulated") is True else device.kind
        # Emulated latency has no noise limit.
        self._conditions = conditions if self._kind == "measured" else replace(conditions, noise=None)
        self._gpu = machine.get("provider", "cpu") != "cpu"
        has_state = Capability.STATE in device.capabilities
        self._monitor = DeviceMonitor(workspace, gpu=machine.get("provider") == "cuda") if has_state else None
        self._machine: dict[str, Any] = {**machine, **(self._monitor.device if self._monitor else {})}
        self.host = (self._monitor.boot if self._monitor else None) or device.uri

    def measure(self, progress: Progress = SILENT) -> Profile:
        """Load, warm up, measure and compare the models. It can be called once.

        Raises:
            DeviceError: See the function ``measure``.
        """
        settings, device = self._conditions, self._device
        progress.start(len(self._models) * settings.blocks)
        gpu_bytes = {name: self._load(name) for name in self._models}
        passed = self._quiet_pass(progress)
        measured: dict[str, ModelProfile] = {}
        checks = {}
        for name, runner in self._runners.items():
            memory = runner.memory() if Capability.MEMORY in device.capabilities else {}
            layers = runner.layers() if Capability.PER_LAYER in device.capabilities else None
            outputs = runner.outputs(self._golden[name].inputs) if name in self._golden else None
            if outputs is not None:
                checks[name] = self._golden[name].of(runner.precision).compare(outputs)
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
            settings={name: value for name, value in asdict(settings).items() if name not in _NO_SETTINGS},
            models=measured,
            ratios=_ratios(measured, self._kind),
            environment=passed.environment,
            validity=Validity(not problems, tuple(problems), noise, settings.noise, passed.attempts, checks),
        )

    def _load(self, name: str) -> float | None:
        """Load and warm up a model; return the GPU memory that it took in bytes, or None without a GPU."""
        settings, before = self._conditions, self._take()
        runner = self._runners[name]
        timeout_s = max(settings.load_s, settings.timeout_s)
        runner.load(
            self._remote_paths[name],
            threads=settings.threads,
            spinning=settings.spinning,
            seed=settings.seed,
            timeout_s=timeout_s,
        )
        runner.warm_up(settings.warmup)
        after = self._take()
        if not (before and after) or before[-1].gpu_memory_bytes is None or after[-1].gpu_memory_bytes is None:
            return None
        return max(0, after[-1].gpu_memory_bytes - before[-1].gpu_memory_bytes)

    def _quiet_pass(self, progress: Progress) -> _Pass:
        """Measure all blocks, again while they are too noisy and retries remain."""
        for attempt in range(1, self._conditions.retries + 2):
            for runner in self._runners.values():
                runner.forget()
            passed = replace(self._pass(progress), attempts=attempt)
            if not passed.noisy:
                break
        return passed

    def _pass(self, progress: Progress) -> _Pass:
        settings = self._conditions
        before = self._take()
        during: dict[str, list[DeviceSample]] = {name: [] for name in self._models}
        for block in range(settings.blocks):
            runs = settings.runs // settings.blocks + (block < settings.runs % settings.blocks)
            for name, runner in self._runners.items():
                median = runner.measure(settings.warmup, max(1, runs), settings.block_s)
                during[name] += self._take()
                progress.advance(p50_ms=median)
        noisy = [
            f"{name} is too noisy: the range of its block medians is {noise:.1%}, {settings.noise:.1%} is allowed"
            for name, runner in self._runners.items()
            if settings.noise is not None and (noise := latency_statistics.noise(runner.blocks_ms)) > settings.noise
        ]
        return _Pass(before, during, noisy, gpu=self._gpu)

    def _take(self) -> list[DeviceSample]:
        return self._monitor.take() if self._monitor else []


@dataclass(frozen=True)
class _Pass:
    """One pass over all blocks, with the state of the device during the pass."""

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
    """Return sixteen hexadecimal digits that identify device, system and runtime."""
    return hashlib.sha256(json.dumps(machine, sort_keys=True).encode()).hexdigest()[:16]


def _figure(value: float | None, kind: Kind) -> Figure | None:
    return None if value is None else Figure(value, kind)


def _ratios(measured: Mapping[str, ModelProfile], kind: Kind) -> dict[str, RatioFigure]:
    """Return latency ratios to the first model; none for a single block, which has no interval."""
    first, *others = measured
    base = measured[first].blocks_ms
    ratios = {name: latency_noise.ratio(base, measured[name].blocks_ms) for name in others if len(base) > 1}
    return {name: RatioFigure(**asdict(ratio), kind=kind) for name, ratio in ratios.items()}
