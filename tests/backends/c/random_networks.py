"""Random networks for the memory planner."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

from edgeprune.backends.c.int8_network import Int8Network, Step, Tensor

_KINDS = ("MAX_POOL_2D", "SOFTMAX", "RESHAPE", "ADD", "CONCATENATION", "SLICE")
"""Operators that need memory of their own, that may overwrite an input, views, and operators that join and separate."""


def tensor(index: int, size: int) -> Tensor:
    """Return an int8 activation."""
    return Tensor(index, f"t{index}", (size,), np.dtype("int8"), (0.5,), 0, None)


def _constant(index: int, value: int) -> Tensor:
    return Tensor(index, f"c{index}", (1,), np.dtype("int32"), (), 0, np.int32([value]))


def network(seed: int, steps: int, kinds: Sequence[str] = _KINDS) -> Int8Network:
    """Return a random network of ``steps`` steps, whose tensors have several readers."""
    rng = np.random.default_rng(seed)
    source = tensor(0, int(rng.integers(1, 40)))
    tensors, chain = [source], []
    for index in range(steps):
        kind = str(rng.choice(kinds))
        first = tensors[-1] if rng.random() < 0.6 else tensors[int(rng.integers(len(tensors)))]
        inputs: tuple[Tensor, ...] = (first,)
        options = None
        size = first.bytes if kind != "MAX_POOL_2D" else int(rng.integers(1, 40))
        if kind == "ADD":
            others = [one for one in tensors if one.bytes == first.bytes]
            inputs = first, others[int(rng.integers(len(others)))]
        elif kind == "CONCATENATION":
            inputs = tuple(tensors[int(place)] for place in rng.integers(len(tensors), size=rng.integers(1, 4)))
            size, options = sum(one.bytes for one in inputs), SimpleNamespace(axis=0)
        elif kind == "SLICE":
            begin = int(rng.integers(first.bytes))
            size = int(rng.integers(1, first.bytes - begin + 1))
            inputs = first, _constant(1000 + index, begin), _constant(2000 + index, size)
        tensors.append(tensor(index + 1, size))
        chain.append(Step(index, kind, inputs, (tensors[-1],), options))
    ends = [one for one in tensors[1:] if not any(one in step.inputs for step in chain)]
    return Int8Network((source,), tuple(ends), tuple(chain))
