"""Pooling, resizing and sampling: every channel by itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.conformance.examples.base import Draw, Example, example, image


def _channelwise(op: str, make: Callable[[Draw], Callable[[Tensor], Tensor]], rank: int) -> None:
    @example(op)
    def build(draw: Draw) -> Example:
        return image(draw, make(draw), draw.size(2, 9), rank=rank, size=6)


for _rank in (1, 2, 3):
    _channelwise(
        f"max_pool{_rank}d",
        lambda draw, f=getattr(F, f"max_pool{_rank}d"): lambda x, k=draw.size(2, 3), s=draw.size(1, 2): f(x, k, s),
        _rank,
    )
    _channelwise(
        f"max_pool{_rank}d_with_indices",
        lambda draw, f=getattr(F, f"max_pool{_rank}d"): lambda x, k=draw.size(2, 3): f(x, k, return_indices=True)[0],
        _rank,
    )
    _channelwise(
        f"avg_pool{_rank}d",
        lambda draw, f=getattr(F, f"avg_pool{_rank}d"): lambda x, k=draw.size(2, 3), p=draw.size(0, 1): f(x, k, padding=p),
        _rank,
    )
    for _kind in ("avg", "max"):
        _channelwise(
            f"adaptive_{_kind}_pool{_rank}d",
            lambda draw, f=getattr(F, f"adaptive_{_kind}_pool{_rank}d"): lambda x, k=draw.size(1, 4): f(x, k),
            _rank,
        )
for _rank in (2, 3):
    _channelwise(
        f"fractional_max_pool{_rank}d",
        lambda draw, f=getattr(F, f"fractional_max_pool{_rank}d"), rank=_rank: lambda x, k=draw.size(2, 3): f(
            x, 2, output_size=k, _random_samples=torch.full((x.shape[0], x.shape[1], rank), 0.5)
        ),
        _rank,
    )
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
    _channelwise(
        _op, lambda draw, mode=_mode: lambda x, k=draw.size(3, 9): F.interpolate(x, k, mode=mode), _rank
    )
for _mode in ("bilinear", "bicubic"):
    _channelwise(
        f"_upsample_{_mode}2d_aa",
        lambda draw, mode=_mode: lambda x, k=draw.size(2, 5): F.interpolate(x, k, mode=mode, antialias=True),
        2,
    )


def _grid(x: Tensor, rank: int, size: int) -> Tensor:
    grid = torch.linspace(-0.8, 0.7, size**rank * rank, dtype=x.dtype).view(1, *(size,) * rank, rank)
    return grid.expand(x.shape[0], *(-1,) * (rank + 1))


for _op, _rank in (("grid_sampler", 2), ("grid_sampler", 3), ("grid_sampler_2d", 2), ("grid_sampler_3d", 3)):
    _channelwise(
        _op,
        lambda draw, op=getattr(torch.ops.aten, _op), rank=_rank: lambda x, k=draw.size(2, 4): op(
            x, _grid(x, rank, k), 0, 0, False
        ),
        _rank,
    )
