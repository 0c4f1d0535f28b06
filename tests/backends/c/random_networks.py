"""Random networks for the memory planner."""

from __future__ import annotations

import numpy as np

from edgeprune.backends.c.int8_network import Int8Network, Step, Tensor

_KINDS = ("MAX_POOL_2D", "SOFTMAX", "RESHAPE", "ADD")
"""An operator that needs its own memory, one that may overwrite its input, a view, and one with two inputs."""


def tensor(index: int, size: int) -> Tensor:
    """Return an int8 activation."""
    return Tensor(index, f"t{index}", (size,), np.dtype("int8"), (0.5,), 0, None)


def network(seed: int, steps: int) -> Int8Network:
    """Return a random network of ``steps`` steps, whose tensors have several readers."""
    rng = np.random.default_rng(seed)
    source = tensor(0, int(rng.integers(1, 40)))
    tensors, made = [source], []
    for index in range(steps):
        kind = str(rng.choice(_KINDS))
        first = tensors[-1] if rng.random() < 0.6 else tensors[int(rng.integers(len(tensors)))]
        inputs: tuple[Tensor, ...] = (first,)
        size = first.bytes if kind != "MAX_POOL_2D" else int(rng.integers(1, 40))
        if kind == "ADD":
            others = [one for one in tensors if one.bytes == first.bytes]
            inputs = first, others[int(rng.integers(len(others)))]
        tensors.append(tensor(index + 1, size))
        made.append(Step(index, kind, inputs, (tensors[-1],), None))
    ends = [one for one in tensors[1:] if not any(one in step.inputs for step in made)]
    return Int8Network((source,), tuple(ends), tuple(made))
