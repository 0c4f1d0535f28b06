"""Results of a measurement. Every value has a provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, TypeAdapter, ValidationError

from edgeprune import input_files, safe_json
from edgeprune.bundle import strict_json
from edgeprune.errors import InputError
from edgeprune.evidence import Kind
from edgeprune.profile.latency_figures import Blocks, Finite, Latency, LayerMilliseconds, Ratio

NAME = "profile.json"
SCHEMA = 1
DENSE = "dense"
"""Name of the network before pruning."""
PRUNED = "pruned"
"""Name of the pruned network in float32; other precisions have the name of their precision."""
BASE = "base"
"""Name of the currently shipped model, measured interleaved with a new bundle."""


@dataclass(frozen=True)
class Figure:
    """Value and its provenance."""

    value: Finite
    kind: Kind = "measured"


@dataclass(frozen=True)
class LatencyFigures(Latency):
    """Latency and its provenance."""

    kind: Kind = "measured"


@dataclass(frozen=True)
class RatioFigure(Ratio):
    """Ratio and its provenance."""

    kind: Kind = "measured"


@dataclass(frozen=True)
class LayerTime:
    """Latency of one node of the runtime.

    Attributes:
        name: Name of the node in the runtime, which may combine several nodes of the file.
        kind: Operator type; empty if the runtime does not report it.
        ms: Latency per inference in milliseconds: the mean of the middle half of several, or the median.
    """

    name: str
    kind: str
    ms: LayerMilliseconds


@dataclass(frozen=True)
class ModelProfile:
    """Profile of one model on one device. Values that the device cannot report are None.

    Timing layers slows the runtime down, so the sum of the layers exceeds the latency.

    Attributes:
        sha256: SHA-256 of the model file.
        latency_ms: Latency over all blocks in milliseconds.
        first_ms: Latency of the first inference, which fills caches, in milliseconds.
        load_ms: Duration of loading the file in milliseconds; None if the runtime does not load files.
        peak_memory_bytes: Peak resident memory of the process minus ``runtime_memory_bytes``.
        runtime_memory_bytes: Resident memory of the process before loading: Python, numpy, and the runtime after a run
            of a model with a single node.
        memory_source: Source of the memory values: ``VmHWM`` or ``ru_maxrss``.
        warm_up_runs: Number of inferences before the first block.
        stable: Whether warm-up ended because latency was stable; otherwise it reached its time limit.
        threads: Number of threads of one inference.
        blocks_ms: All latencies in milliseconds, by block.
        layers: Latencies of the layers in execution order.
        gpu_memory_bytes: Increase of used GPU memory by loading and warming up the model, in bytes.
        arena_bytes: Used bytes of the tensor arena of TFLite Micro.
        energy_mj: Energy of one inference in mJ, from the rail of the whole board or processor, including idle power.
    """

    sha256: str
    latency_ms: LatencyFigures
    first_ms: Figure
    load_ms: Figure | None
    peak_memory_bytes: Figure | None
    runtime_memory_bytes: Figure | None
    memory_source: str | None
    warm_up_runs: int
    stable: bool
    threads: int
    blocks_ms: Blocks
    layers: tuple[LayerTime, ...] | None = None
    gpu_memory_bytes: Figure | None = None
    arena_bytes: Figure | None = None
    energy_mj: Figure | None = None


@dataclass(frozen=True)
class DeviceState:
    """State of a device at one time, or over an interval. Values that it does not report are omitted.

    Attributes:
        temperature_c: Temperature in degrees Celsius by sensor; over an interval: the maximum.
        clock_mhz: Clock in MHz by CPU policy, or ``gpu``, ``memory``; over an interval: the median.
        power_mw: Power in mW by rail; over an interval: the mean.
        governor: Frequency governor by CPU policy.
        throttle: Throttle flags: ``under-voltage``, ``frequency capped``, ``throttled``, ``soft temperature limit``,
            with the suffix ``since boot`` for past events; None if the device does not report them.
        power_mode: Power mode of nvpmodel.
    """

    temperature_c: Mapping[str, float] = field(default_factory=dict)
    clock_mhz: Mapping[str, float] = field(default_factory=dict)
    power_mw: Mapping[str, float] = field(default_factory=dict)
    governor: Mapping[str, str] = field(default_factory=dict)
    throttle: tuple[str, ...] | None = None
    power_mode: str | None = None


@dataclass(frozen=True)
class Environment:
    """State of the device before, during and after the measurement.

    Attributes:
        before: State before the first block.
        during: State over all blocks.
        after: State after the last block.
    """

    before: DeviceState
    during: DeviceState
    after: DeviceState


@dataclass(frozen=True)
class GoldenCheck:
    """Comparison of a model's outputs on the device with those that its bundle expects.

    Attributes:
        samples: Number of compared samples.
        max_error: Largest difference of an output, relative to the largest expected value; None if the shapes differ or
            values are not finite.
        tolerance: Largest allowed ``max_error``.
        top1_agreement: Fraction of equal classes by the first output, (N, classes, ...), from 0 to 1.
    """

    samples: int
    max_error: float | None
    tolerance: float
    top1_agreement: float


@dataclass(frozen=True)
class Validity:
    """Validity of a measurement.

    Attributes:
        valid: Whether there are no problems.
        problems: Messages about problems.
        noise: Range of the block medians relative to their median, by model.
        noise_limit: Largest allowed noise; None: any.
        attempts: Number of measurements of all blocks until the noise was low enough.
        golden: Comparison with golden samples, by model that has them.
    """

    valid: bool
    problems: tuple[str, ...]
    noise: Mapping[str, float]
    noise_limit: float | None
    attempts: int
    golden: Mapping[str, GoldenCheck] = field(default_factory=dict)


def _check_device(device: Mapping[str, Any]) -> Mapping[str, Any]:
    missing = [name for name in ("uri", "runtime", "runtime_version") if not isinstance(device.get(name), str)]
    if missing:
        raise ValueError(f"{', '.join(missing)} must be text")
    return device


@dataclass(frozen=True)
class Profile:
    """Models measured interleaved on one device.

    Attributes:
        device: ``uri`` and description of the device: machine, system, cpu, cores, python, runtime. The ``fingerprint``
            identifies device, system and runtime.
        settings: Settings of the measurement; see ``MeasurementSettings``.
        models: Profiles of the models by name, in the order of measurement.
        ratios: Ratio of the median latency to that of the first model, by name of each other model.
        environment: State of the device; None if it does not report it.
        validity: Validity of the measurement; None in files of older versions.
        schema: Schema version of the file.
        edgeprune: Version of EdgePrune that measured.
        reference: An earlier profile of the same bundle that includes the dense network, on its own device. None if
            this profile includes it, or if it was never measured.
    """

    device: Annotated[Mapping[str, Any], AfterValidator(_check_device)]
    settings: Mapping[str, Any]
    models: Mapping[str, ModelProfile]
    ratios: Mapping[str, RatioFigure]
    environment: Environment | None = None
    validity: Validity | None = None
    schema: int = SCHEMA
    edgeprune: str = field(default_factory=lambda: version("edgeprune"))
    reference: Profile | None = None

    def with_reference(self, earlier: Profile | None) -> Profile:
        """Return this profile, with ``earlier`` as the reference for the dense network if this profile lacks it.

        The values of the two are never mixed: each profile keeps its device and ratios.
        """
        if earlier is None or DENSE in self.models:
            return self
        reference = earlier if DENSE in earlier.models else earlier.reference
        return replace(self, reference=None if reference is None else replace(reference, reference=None))

    def to_json(self) -> str:
        """Return the text of ``profile.json``."""
        values = asdict(self)
        if values["reference"] is None:
            del values["reference"]
        else:
            del values["reference"]["reference"]
        ordered = {"schema": values.pop("schema"), "edgeprune": values.pop("edgeprune"), **values}
        return json.dumps(ordered, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def load(cls, path: Path) -> Profile:
        """Read the profile in the file ``path``.

        Raises:
            InputError: The file cannot be read, is not a profile, or has a newer schema.
        """
        try:
            return cls.from_json(input_files.read_bytes(path), where=path)
        except OSError as problem:
            raise InputError(f"cannot read {path}: {problem.strerror}") from problem

    @classmethod
    def from_json(cls, text: str | bytes, *, where: Path | str = NAME) -> Profile:
        """Parse the text that ``to_json`` returned.

        Raises:
            InputError: The text is not a profile, or has a newer schema.
        """
        try:
            values = safe_json.loads(text)
        except ValueError as problem:
            raise InputError(f"{where} is not a valid profile: {problem}") from problem
        schema = values.get("schema") if isinstance(values, dict) else None
        if isinstance(schema, int) and schema > SCHEMA:
            raise InputError(
                f"{where} has schema {schema}, but EdgePrune {version('edgeprune')} supports schemas up to {SCHEMA}: "
                "install a newer EdgePrune"
            )
        try:
            profile = _reader().validate_python(values)
        except ValidationError as problems:
            raise InputError(f"{where} is not a valid profile: {strict_json.described(problems)}") from None
        if profile.reference is not None and DENSE not in profile.reference.models:
            raise InputError(f"{where} is not a valid profile: reference.models has no model '{DENSE}'")
        return profile


@cache
def _reader() -> TypeAdapter[Profile]:
    return TypeAdapter(Profile)
