"""Export of profiles as a Chrome trace, for chrome://tracing and ui.perfetto.dev.

Format: "Trace Event Format" (Google, 2016), complete events. Inferences of a block follow each other without gaps,
because their durations were measured, but not their start times. The layers of one mean inference are a separate row.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgeprune.profile.profile_result import ModelProfile, Profile

_US = 1000.0


def to_json(profiles: Sequence[Profile]) -> str:
    """Return the text of a trace file with one process per device."""
    events = [event for process, profile in enumerate(profiles, 1) for event in _events(process, profile)]
    return json.dumps({"displayTimeUnit": "ms", "traceEvents": events}, allow_nan=False) + "\n"


def _events(process: int, profile: Profile) -> Iterator[Mapping[str, Any]]:
    yield _named("process_name", process, 0, str(profile.device["uri"]))
    at_us = 0.0
    rows = {name: 2 * index + 1 for index, name in enumerate(profile.models)}
    for name, row in rows.items():
        yield _named("thread_name", process, row, f"{name} ({profile.models[name].latency_ms.kind})")
    for block in range(max(len(model.blocks_ms) for model in profile.models.values())):
        for name, model in profile.models.items():
            for latency_ms in model.blocks_ms[block] if block < len(model.blocks_ms) else ():
                position = {"pid": process, "tid": rows[name], "ts": at_us, "dur": latency_ms * _US}
                yield {"name": name, "ph": "X", **position, "args": {"block": block}}
                at_us += latency_ms * _US
    for name, model in profile.models.items():
        yield from _layers(process, rows[name] + 1, name, model)


def _layers(process: int, row: int, name: str, model: ModelProfile) -> Iterator[Mapping[str, Any]]:
    if model.layers is None:
        return
    yield _named("thread_name", process, row, f"{name}: layers of one inference ({model.latency_ms.kind})")
    at_us = 0.0
    for layer in model.layers:
        position = {"pid": process, "tid": row, "ts": at_us, "dur": layer.ms * _US}
        yield {"name": layer.name or layer.kind, "ph": "X", **position, "args": {"kind": layer.kind}}
        at_us += layer.ms * _US


def _named(event: str, process: int, row: int, name: str) -> Mapping[str, Any]:
    return {"name": event, "ph": "M", "pid": process, "tid": row, "args": {"name": name}}
