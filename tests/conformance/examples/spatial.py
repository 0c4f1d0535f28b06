"""Pooling, resizing and sampling: every channel by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.conformance.examples.base import Draw, Example, example, image


def _channelwise(op: str, rank: int, function: Callable[..., Tensor], *sizes: tuple[int, int]) -> None:
    """``function`` takes the tensor and a number out of each range of ``sizes``."""

    @example(op)
    def build(draw: Draw) -> Example:
        samples = [draw.size(*limits) for limits in sizes]
        return image(draw, lambda x: function(x, *samples), draw.size(2, 9), rank=rank, size=6)


for _rank in (1, 2, 3):
    _max, _average = getattr(F, f"max_pool{_rank}d"), getattr(F, f"avg_pool{_rank}d")
    _channelwise(f"max_pool{_rank}d", _rank, _max, (2, 3), (1, 2))
    _channelwise(
        f"max_pool{_rank}d_with_indices", _rank, lambda x, size, f=_max: f(x, size, return_indices=True)[0], (2, 3)
    )
    _channelwise(f"avg_pool{_rank}d", _rank, _average, (2, 3), (1, 2), (0, 1))
    for _kind in ("avg", "max"):
        _name = f"adaptive_{_kind}_pool{_rank}d"
        _channelwise(_name, _rank, getattr(F, _name), (1, 4))


def _fractional(x: Tensor, size: int) -> Tensor:
    rank = x.ndim - 2
    pool = {2: F.fractional_max_pool2d, 3: F.fractional_max_pool3d}[rank]
    return pool(x, 2, output_size=size, _random_samples=torch.full((*x.shape[:2], rank), 0.5))


for _rank in (2, 3):
    _channelwise(f"fractional_max_pool{_rank}d", _rank, _fractional, (2, 3))

for _op, _mode, _rank in (
    ("upsample_nearest1d", "nearest", 1),
    ("upsample_nearest2d", "nearest", 2),
    ("upsample_nearest3d", "nearest", 3),
    ("_upsample_nearest_exact1d", "nearest-exact", 1),
    ("_upsample_nearest_exact2d", "nearest-exact", 2),
    ("_upsample_nearest_exact3d", "nearest-exact", 3),
    ("upsample_linear1d", "linear", 1),
    ("upsample_bilinear2d", "bilinear", 2),
    ("upsample_bicubic2d", "bicubic", 2),
    ("upsample_trilinear3d", "trilinear", 3),
):
    _channelwise(_op, _rank, lambda x, size, mode=_mode: F.interpolate(x, size, mode=mode), (3, 9))
for _mode in ("bilinear", "bicubic"):
    _channelwise(
        f"_upsample_{_mode}2d_aa",
        2,
        lambda x, size, mode=_mode: F.interpolate(x, size, mode=mode, antialias=True),
        (2, 5),
    )


def _sampled(x: Tensor, size: int, op: Any) -> Tensor:
    rank = x.ndim - 2
    grid = torch.linspace(-0.8, 0.7, size**rank * rank).view(1, *(size,) * rank, rank)
    return op(x, grid.expand(x.shape[0], *(-1,) * (rank + 1)), 0, 0, False)


for _op, _rank in (("grid_sampler", 2), ("grid_sampler", 3), ("grid_sampler_2d", 2), ("grid_sampler_3d", 3)):
    _sampler = getattr(torch.ops.aten, _op)
    _channelwise(_op, _rank, lambda x, size, op=_sampler: _sampled(x, size, op), (2, 4))
