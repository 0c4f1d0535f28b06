"""Which samples belong to which batch, and to which process."""

from __future__ import annotations

import torch
from torch import Tensor

from edgeprune.model.seeding import generator

Batch = tuple[Tensor, Tensor]


def part_bounds(size: int, rank: int, count: int) -> tuple[int, int]:
    """The first index of a part, and the first behind it."""
    return size * rank // count, size * (rank + 1) // count


def training_steps(samples: int, size: int) -> int:
    """Batches in one shuffled pass: a small last batch would give BatchNorm poor statistics, so it is left out."""
    return max(1, samples // size)


def index_batches(
    samples: int, size: int, rng_key: tuple[int, ...] | None, start: int
) -> list[tuple[tuple[int, ...], Tensor]]:
    """Sample indices of each batch, with the key for what is drawn at random in it."""
    if samples == 0:
        return []
    if rng_key is None:
        parts = torch.split(torch.arange(samples), size)
    else:
        parts = torch.split(torch.randperm(samples, generator=generator(*rng_key)), size)
        parts = parts[: training_steps(samples, size)]
    return [((*(rng_key or ()), step), part) for step, part in enumerate(parts)][start:]
