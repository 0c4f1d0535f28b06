"""Parsers for the files that trtexec exports, and for the names of inputs and outputs that it prints."""

from __future__ import annotations

import json
import math
import re

from edgeprune.backends.tensorrt.runner_parts.engine_errors import EngineError


def parse_bindings(text: str) -> tuple[list[str], list[str]]:
    """Parse the names of inputs and outputs from the log of trtexec, in the order of the network."""
    bindings = re.findall(r"Created (input|output) binding for (.+) with dimensions", text)
    inputs, outputs = ([name for kind, name in bindings if kind == direction] for direction in ("input", "output"))
    return inputs, outputs


def read_outputs(text: str) -> dict[str, tuple[tuple[int, ...], list[float]]]:
    """Parse the output of ``--exportOutput``; return shape and values by name. NaN and infinity are as C++ prints them.

    Raises:
        EngineError: The text has another format.
    """
    text = re.sub(r"(?<=[\s,\[])-?nan\b", "NaN", re.sub(r"(?<=[\s,\[-])inf\b", "Infinity", text))
    try:
        outputs = {}
        for entry in json.loads(text):
            shape = tuple(int(length) for length in entry["dimensions"].split("x"))
            outputs[str(entry["name"])] = shape, [float(value) for value in entry["values"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise EngineError(f"invalid outputs exported by trtexec: {problem!r}") from None
    for name, (shape, values) in outputs.items():
        if math.prod(shape) != len(values):
            raise EngineError(
                f"invalid outputs exported by trtexec: output {name} has the shape {shape}, but {len(values)} values"
            )
    return outputs


def read_times(text: str) -> list[dict[str, float]]:
    """Parse the output of ``--exportTimes``; return ``latency_ms`` and ``compute_ms`` of each inference.

    Latency is input copy, compute and output copy. Releases name other keys differently, but not these two.

    Raises:
        EngineError: The text is truncated, has another format, or lacks the time of an inference.
    """
    try:
        entries = json.loads(text)
        times = [{"latency_ms": entry["latencyMs"], "compute_ms": entry["computeMs"]} for entry in entries]
    except (ValueError, TypeError, KeyError, IndexError) as problem:
        raise EngineError(f"invalid times exported by trtexec: {problem!r}") from problem
    numbers = [value for entry in times for value in entry.values()]
    if not times or not all(type(value) in (int, float) and 0 < value < float("inf") for value in numbers):
        raise EngineError(f"invalid times exported by trtexec: expected times above 0, got {times!r:.80}")
    return [{name: float(value) for name, value in entry.items()} for entry in times]
