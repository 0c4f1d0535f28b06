"""Results of a measurement. Every figure states its provenance."""

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
"""Name of its float32 form after; other forms have the name of their precision."""
BASE = "base"
"""Name of what ships today, where a new bundle was measured in turn with it."""


@dataclass(frozen=True)
class Figure:
    """One number and where it comes from."""

    value: Finite
    kind: Kind = "measured"


@dataclass(frozen=True)
class LatencyFigures(Latency):
    """Latency and where it comes from."""

    kind: Kind = "measured"


@dataclass(frozen=True)
class RatioFigure(Ratio):
    """A ratio and where it comes from."""

    kind: Kind = "measured"


@dataclass(frozen=True)
class LayerTime:
    """One node that the runtime made of the model.

    Attributes:
        name: As the runtime names it; it may stand for several nodes of the file.
        kind: Of operator; empty where the runtime does not tell.
        ms: In one inference; of several, the mean of the middle half, or the median.
    """

    name: str
    kind: str
    ms: LayerMilliseconds


@dataclass(frozen=True)
class ModelProfile:
    """One model on one device. What the device cannot tell is None.

    Where layers are timed, the runtime is slowed down by it: their sum is more than the latency.

    Attributes:
        sha256: Of its file.
        latency_ms: Over all blocks.
        first_ms: First inference, which fills caches.
        load_ms: From the file to a session that can run; None where there is no such thing.
        peak_memory_bytes: Highest resident memory of its own process, over ``runtime_memory_bytes``; None where the
            device cannot tell.
        runtime_memory_bytes: Resident memory of that process before: Python, numpy, and the runtime once it had run a
            model of a single node.
        memory_source: Where the device read it: ``VmHWM`` or ``ru_maxrss``.
        warm_up_runs: Inferences before the first block.
        stable: Warm-up ended because latency no longer changed; else its time was over.
        threads: Of one inference.
        blocks_ms: Every latency, by block.
        layers: In the order they run.
        gpu_memory_bytes: In use on the whole GPU with the model loaded and warm, over before.
        arena_bytes: Of the tensor arena of TFLite Micro that are in use.
        energy_mj: Of one inference, from the rail that feeds the whole board, or the whole processor: what is drawn at
            rest is in it.
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
    """The state of a device at one moment, or over some time; what it does not tell is left out.

    Attributes:
        temperature_c: By sensor; over some time: the highest.
        clock_mhz: By policy of the CPU, or ``gpu``, ``memory``; over some time: the median.
        power_mw: By rail; over some time: the mean.
        governor: By policy of the CPU.
        throttle: What is set: ``under-voltage``, ``frequency capped``, ``throttled``, ``soft temperature limit``, with
            ``since boot`` behind if it was so since; None: the device does not tell.
        power_mode: Of nvpmodel.
    """

    temperature_c: Mapping[str, float] = field(default_factory=dict)
    clock_mhz: Mapping[str, float] = field(default_factory=dict)
    power_mw: Mapping[str, float] = field(default_factory=dict)
    governor: Mapping[str, str] = field(default_factory=dict)
    throttle: tuple[str, ...] | None = None
    power_mode: str | None = None


@dataclass(frozen=True)
class Environment:
    """How the device was around and during the measurement.

    Attributes:
        before: Before the first block.
        during: Over all blocks.
        after: After the last.
    """

    before: DeviceState
    during: DeviceState
    after: DeviceState


@dataclass(frozen=True)
class GoldenCheck:
    """Comparison of a model's outputs on the device with those that its bundle expects.

    Attributes:
        samples: How many were compared.
        max_error: Largest difference of an output, relative to the largest expected one; None: the outputs have another
            form, or are not finite.
        tolerance: That is allowed.
        top1_agreement: Fraction of classes by the first output, (N, classes, ...), that are the same, 0..1.
    """

    samples: int
    max_error: float | None
    tolerance: float
    top1_agreement: float


@dataclass(frozen=True)
class Validity:
    """Whether the figures may be used.

    Attributes:
        valid: There are no problems.
        problems: Why not, for people.
        noise: By model: how far the medians of its blocks lie apart, over their median.
        noise_limit: That is allowed; None: any.
        attempts: How often all blocks were measured until they were quiet enough.
        golden: By model, where there is something to compare with.
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
        raise ValueError(f"it must name {' and '.join(missing)} as text")
    return device


@dataclass(frozen=True)
class Profile:
    """Models measured in turn on one device.

    Attributes:
        device: ``uri`` and what the device says of itself: machine, system, cpu, cores, python, runtime. Its
            ``fingerprint`` is the same for the same device, system and runtime.
        settings: How it was measured: the arguments of ``protocol.measure``.
        models: By name, in the order they took turns.
        ratios: Median latency over that of the first model, by name of each other model.
        environment: None where the device does not tell.
        validity: Whether the figures may be used; None in files of older versions.
        schema: Of the file.
        edgeprune: Version that measured.
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
        """This profile, with what ``earlier`` has of the dense network if this one does not include it.

        The figures of the two are never mixed: each keeps its own device and ratios.
        """
        if earlier is None or DENSE in self.models:
            return self
        reference = earlier if DENSE in earlier.models else earlier.reference
        return replace(self, reference=None if reference is None else replace(reference, reference=None))

    def to_json(self) -> str:
        """The text of ``profile.json``."""
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
            InputError: It cannot be read, is not a profile, or is of a newer schema.
        """
        try:
            return cls.from_json(input_files.read_bytes(path), where=path)
        except OSError as problem:
            raise InputError(f"cannot read {path}: {problem.strerror}") from problem

    @classmethod
    def from_json(cls, text: str | bytes, *, where: Path | str = NAME) -> Profile:
        """Read what ``to_json`` wrote.

        Raises:
            InputError: It is something else, or of a newer schema.
        """
        try:
            values = safe_json.loads(text)
        except ValueError as problem:
            raise InputError(f"{where} is not a profile: {problem}") from problem
        schema = values.get("schema") if isinstance(values, dict) else None
        if isinstance(schema, int) and schema > SCHEMA:
            raise InputError(f"{where} has schema {schema}; EdgePrune {version('edgeprune')} reads up to {SCHEMA}")
        try:
            profile = _reader().validate_python(values)
        except ValidationError as problems:
            raise InputError(f"{where} is not a profile: {strict_json.described(problems)}") from None
        if profile.reference is not None and DENSE not in profile.reference.models:
            raise InputError(f"{where} is not a profile: its reference lacks the model '{DENSE}'")
        return profile


@cache
def _reader() -> TypeAdapter[Profile]:
    return TypeAdapter(Profile)
