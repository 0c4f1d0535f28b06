"""Files that trtexec exports, and the names of inputs and outputs that it prints."""

from __future__ import annotations

import json
import math
import re

from edgeprune.backends.tensorrt.runner_parts.engine_errors import EngineError


def parse_bindings(text: str) -> tuple[list[str], list[str]]:
    """Names of inputs and of outputs, in the order of the network, by what trtexec prints of a loaded engine."""
    found = re.findall(r"Created (input|output) binding for (.+) with dimensions", text)
    inputs, outputs = ([name for kind, name in found if kind == wanted] for wanted in ("input", "output"))
    return inputs, outputs


def read_outputs(text: str) -> dict[str, tuple[tuple[int, ...], list[float]]]:
    """By name, shape and values that ``--exportOutput`` wrote; NaN and infinity as C++ prints them.

    Raises:
        EngineError: It is something else.
    """
    text = re.sub(r"(?<=[\s,\[])-?nan\b", "NaN", re.sub(r"(?<=[\s,\[-])inf\b", "Infinity", text))
    try:
        found = {}
        for entry in json.loads(text):
            shape = tuple(int(length) for length in entry["dimensions"].split("x"))
            found[str(entry["name"])] = shape, [float(value) for value in entry["values"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise EngineError(f"outputs that trtexec exported cannot be read: {problem!r}") from None
    for name, (shape, values) in found.items():
        if math.prod(shape) != len(values):
            raise EngineError(f"trtexec exported {len(values)} values of {name}, which has the shape {shape}")
    return found


def read_times(text: str) -> list[dict[str, float]]:
    """Times that ``--exportTimes`` wrote, one entry an inference, with the keys ``latency_ms`` and ``compute_ms``.

    Latency is input copy, compute and output copy. Releases name other keys differently, but not these two.

    Raises:
        EngineError: The text is cut off, is something else, or has an inference without a time.
    """
    try:
        entries = json.loads(text)
        times = [{"latency_ms": entry["latencyMs"], "compute_ms": entry["computeMs"]} for entry in entries]
    except (ValueError, TypeError, KeyError, IndexError) as problem:
        raise EngineError(f"the times that trtexec exported cannot be read: {problem!r}") from problem
    numbers = [value for entry in times for value in entry.values()]
    if not times or not all(type(value) in (int, float) and 0 < value < float("inf") for value in numbers):
        raise EngineError(f"the {len(times)} times that trtexec exported are none, or not all above 0")
    return [{name: float(value) for name, value in entry.items()} for entry in times]
