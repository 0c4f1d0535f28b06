"""Samples into runtimes: inputs by name, in portions of the batch size that a file has."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeprune.errors import ModelError

Array = NDArray[Any]
Inputs = Array | Sequence[Array] | Mapping[str, Array]
"""The one input (N, ...), or all of them by order or by name."""


def named(inputs: Inputs, names: Sequence[str], path: Path) -> dict[str, Array]:
    """``inputs`` by name, in the order of ``names``.

    Raises:
        ModelError: They are others than the file at ``path`` takes.
    """
    if isinstance(inputs, Mapping):
        given = dict(inputs)
    else:
        values = [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
        given = dict(zip(names, values, strict=False)) if len(values) == len(names) else {}
    if set(given) != set(names):
        raise ModelError(f"{path} takes the inputs {', '.join(names)}; got {len(inputs)} others")
    return {name: np.ascontiguousarray(given[name]) for name in names}


def portions(feed: Mapping[str, Array], size: int | None) -> Iterator[tuple[dict[str, Array], int]]:
    """Inputs of one run each, with the count of samples in it; the last is filled up by repeating its last one.

    Args:
        feed: All samples, by the name of the input.
        size: Samples of one run; None: all of them.
    """
    samples = len(next(iter(feed.values())))
    size = size or samples
    for start in range(0, samples, size):
        count = min(size, samples - start)
        portion = {name: value[start : start + count] for name, value in feed.items()}
        if count < size:
            fill = {name: np.repeat(value[-1:], size - count, axis=0) for name, value in portion.items()}
            portion = {name: np.concatenate([value, fill[name]]) for name, value in portion.items()}
        yield portion, count


def core_count() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
