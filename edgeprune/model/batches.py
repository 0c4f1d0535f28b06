"""Assignment of samples to batches and processes."""

from __future__ import annotations

import torch
from torch import Tensor

from edgeprune.model.seeding import generator

Batch = tuple[Tensor, Tensor]


def part_bounds(size: int, rank: int, count: int) -> tuple[int, int]:
    """Return the first index of part ``rank`` of ``count``, and the index after its last one."""
    return size * rank // count, size * (rank + 1) // count


def training_steps(samples: int, size: int) -> int:
    """Return the number of batches in a shuffled pass, without an incomplete last one (poor BatchNorm statistics)."""
    return max(1, samples // size)


def index_batches(
    samples: int, size: int, rng_key: tuple[int, ...] | None, start: int
) -> list[tuple[tuple[int, ...], Tensor]]:
    """Return the sample indices of each batch, with the key of its random numbers."""
    if samples == 0:
        return []
    if rng_key is None:
        parts = torch.split(torch.arange(samples), size)
    else:
        parts = torch.split(torch.randperm(samples, generator=generator(*rng_key)), size)
        parts = parts[: training_steps(samples, size)]
    return [((*(rng_key or ()), step), part) for step, part in enumerate(parts)][start:]
