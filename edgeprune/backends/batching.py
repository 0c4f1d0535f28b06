"""Batching of samples for runtimes with a fixed batch size, and inputs by name."""

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
"""A single input (N, ...), or all inputs in order or by name."""


def named(inputs: Inputs, names: Sequence[str], path: Path) -> dict[str, Array]:
    """Return ``inputs`` by name, in the order of ``names``.

    Raises:
        ModelError: The names or the number of inputs differ from those of the file ``path``.
    """
    if isinstance(inputs, Mapping):
        feed = dict(inputs)
    else:
        values = [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
        feed = dict(zip(names, values, strict=False)) if len(values) == len(names) else {}
    if set(feed) != set(names):
        raise ModelError(f"{path}: expected the {len(names)} inputs {', '.join(names)}, got {len(inputs)} inputs")
    return {name: np.ascontiguousarray(feed[name]) for name in names}


def portions(feed: Mapping[str, Array], size: int | None) -> Iterator[tuple[dict[str, Array], int]]:
    """Yield the inputs of each run, with the number of samples in it.

    The last portion is padded by repeating its last sample.

    Args:
        feed: All samples, by name of the input.
        size: Number of samples of one run; None for all.
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


def of_samples(outputs: Sequence[Array], names: Sequence[str], *, size: int, count: int, path: Path) -> list[Array]:
    """Return the outputs of one run, (size, ...), for the first ``count`` samples of its portion, (count, ...).

    Raises:
        ModelError: An output has no batch in dimension 0.
    """
    for name, output in zip(names, outputs, strict=True):
        if output.shape[:1] != (size,):
            raise ModelError(
                f"{path}: expected the batch of {size} in dimension 0 of the output {name}, found the shape "
                f"{output.shape}: return tensors of the form (batch, ...) from forward"
            )
    return [output[:count] for output in outputs]


def core_count() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
