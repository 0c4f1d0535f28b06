"""What a measurement found. Every figure says where it comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from edgeprune.errors import InputError
from edgeprune.evidence import Kind
from edgeprune.profile.figures import Latency, Ratio

NAME = "profile.json"
SCHEMA = 1


@dataclass(frozen=True)
class Figure:
    """One number and where it comes from."""

    value: float
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
class ModelProfile:
    """One model on one device.

    Attributes:
        sha256: Of its file.
        latency_ms: Over all blocks.
        first_ms: First inference, which fills caches.
        load_ms: From the file to a session that can run.
        peak_memory_bytes: Highest resident memory of its own process, over ``runtime_memory_bytes``; None where the
            device cannot tell.
        runtime_memory_bytes: Resident memory of that process before: Python, numpy, and the runtime once it had run a
            model of a single node.
        memory_source: Where the device read it: ``VmHWM`` or ``ru_maxrss``.
        warm_up_runs: Inferences before the first block.
        stable: Warm-up ended because latency no longer changed; else its time was over.
        threads: Of one inference.
        blocks_ms: Every latency, by block.
    """

    sha256: str
    latency_ms: LatencyFigures
    first_ms: Figure
    load_ms: Figure
    peak_memory_bytes: Figure | None
    runtime_memory_bytes: Figure | None
    memory_source: str | None
    warm_up_runs: int
    stable: bool
    threads: int
    blocks_ms: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Profile:
    """Models measured in turn on one device.

    Attributes:
        device: ``uri`` and what the device says of itself: machine, system, cpu, cores, python, runtime.
        settings: How it was measured: the arguments of ``protocol.measure``.
        models: By name, in the order they took turns.
        ratios: Median latency over that of the first model, by name of each other model.
        schema: Of the file.
        edgeprune: Version that measured.
    """

    device: Mapping[str, Any]
    settings: Mapping[str, Any]
    models: Mapping[str, ModelProfile]
    ratios: Mapping[str, RatioFigure]
    schema: int = SCHEMA
    edgeprune: str = field(default_factory=lambda: version("edgeprune"))

    def to_json(self) -> str:
        """The text of ``profile.json``."""
        values = asdict(self)
        ordered = {"schema": values.pop("schema"), "edgeprune": values.pop("edgeprune"), **values}
        return json.dumps(ordered, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, *, where: Path | str = NAME) -> Profile:
        """Read what ``to_json`` wrote.

        Raises:
            InputError: It is something else, or of a newer schema.
        """
        try:
            values = json.loads(text)
            if values["schema"] > SCHEMA:
                newer, here = values["schema"], version("edgeprune")
                raise InputError(f"{where} has schema {newer}; EdgePrune {here} reads up to {SCHEMA}")
            models = {name: _model(stored) for name, stored in values.pop("models").items()}
            ratios = {name: RatioFigure(**stored) for name, stored in values.pop("ratios").items()}
            return cls(models=models, ratios=ratios, **values)
        except (ValueError, TypeError, KeyError, AttributeError) as problem:
            raise InputError(f"{where} is not a profile: {problem!r}") from problem


def _model(stored: dict[str, Any]) -> ModelProfile:
    return ModelProfile(
        **{
            **stored,
            "latency_ms": LatencyFigures(**stored["latency_ms"]),
            "first_ms": Figure(**stored["first_ms"]),
            "load_ms": Figure(**stored["load_ms"]),
            **{
                name: None if stored[name] is None else Figure(**stored[name])
                for name in ("peak_memory_bytes", "runtime_memory_bytes")
            },
            "blocks_ms": tuple(tuple(block) for block in stored["blocks_ms"]),
        }
    )
