"""Reductions, and operators that compare or order the indices of a dimension."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tests.conformance.examples.base import Draw, Example, example, image

Reduce = Callable[..., Tensor]
_ANY: dict[str, Reduce] = {
    "sum": torch.sum,
    "mean": torch.mean,
    "var": torch.var,
    "std": torch.std,
    "var_mean": lambda x, dim, keepdim: sum(torch.var_mean(x, dim, keepdim=keepdim)),
    "std_mean": lambda x, dim, keepdim: sum(torch.std_mean(x, dim, keepdim=keepdim)),
    "amax": torch.amax,
    "amin": torch.amin,
    "logsumexp": torch.logsumexp,
    "norm": lambda x, dim, keepdim: torch.ops.aten.norm.ScalarOpt_dim(x, 2, dim, keepdim),
    "linalg_vector_norm": lambda x, dim, keepdim: torch.linalg.vector_norm(x, 2, dim, keepdim),
    "frobenius_norm": torch.ops.aten.frobenius_norm,
    "nansum": torch.nansum,
    "nanmean": torch.nanmean,
    "count_nonzero": lambda x, dim, keepdim: (x > 0).count_nonzero(dim).float(),
}
_ONE: dict[str, Reduce] = {
    "all": lambda x, dim, keepdim: (x > -0.5).all(dim, keepdim).float(),
    "any": lambda x, dim, keepdim: (x > 0.5).any(dim, keepdim).float(),
    "max": lambda x, dim, keepdim: x.max(dim, keepdim)[0],
    "min": lambda x, dim, keepdim: x.min(dim, keepdim)[0],
    "prod": lambda x, dim, keepdim: x.prod(dim, keepdim),
}
_COMPARED = ("all", "any", "prod", "count_nonzero")


def _reduced(name: str, op: Reduce, dims: tuple[tuple[int, ...] | int, ...]) -> None:
    @example(name)
    def positions(draw: Draw) -> Example:
        """Over positions: every channel may go."""
        dim, keepdim = draw.one_of(*dims), draw.one_of(True, False)
        return image(draw, lambda x: op(x, dim, keepdim), draw.size(2, 6))

    @example(name)
    def channels(draw: Draw) -> Example:
        """Over the channels: what compares them keeps them all."""
        dim = (1,) if isinstance(dims[0], tuple) else 1
        keep = name in _COMPARED
        size = draw.size(4, 8)  # a variance needs two
        return image(
            draw,
            lambda x: op(x, dim, True),
            size,
            0 if keep else size,
            frozen=f"compared with each other by aten.{name}" if keep else None,
            read="linear",
        )


for _name, _op in _ANY.items():
    _reduced(_name, _op, ((2,), (2, 3), (-1,)))
for _name, _op in _ONE.items():
    _reduced(_name, _op, (2, 3, -1))


@example("max", "min")
def _larger_and_smaller(draw: Draw) -> Example:
    """Of two tensors, place by place."""
    op = lambda x: torch.ops.aten.max.other(x, x.flip(2)) + torch.ops.aten.min.other(x, x * x)
    return image(draw, op, draw.size(2, 6))


@example("max", "min")
def _places_of_extrema(draw: Draw) -> Example:
    """Indices among channels, which removed channels would change."""
    op = lambda x: x.max(1, keepdim=True)[1] + x.min(1, keepdim=True)[1] * 0.1
    frozen = "compared with each other by aten.max"
    return image(draw, op, draw.size(2, 6), 0, frozen=frozen, read="linear")


@example("max", "min")
def _extrema_of_everything(draw: Draw) -> Example:
    return image(draw, lambda x: x * x.max() + x.min(), draw.size(2, 6))


@example("mean", "sum")
def _over_everything(draw: Draw) -> Example:
    """Over all of a sample but the batch, and over all of the tensor."""
    op = lambda x: x * x.mean((1, 2, 3), keepdim=True) + x.sum() + x.mean()
    return image(draw, op, draw.size(2, 6))


@example("mean")
def _heads_reduced(draw: Draw) -> Example:
    """Channels split in two: the factor that is not reduced is what may go."""
    heads, width, dim = draw.size(2, 4), draw.size(2, 4), draw.one_of(1, 2)
    op = lambda x: x.view(x.shape[0], heads, width, 4, 4).mean(dim)
    return image(draw, op, heads * width, width if dim == 1 else heads)


_ALONG: dict[str, Reduce] = {
    "softmax": lambda x, dim: x.softmax(dim),
    "_softmax": lambda x, dim: torch.ops.aten._softmax(x, dim, False),
    "log_softmax": lambda x, dim: x.log_softmax(dim),
    "_log_softmax": lambda x, dim: torch.ops.aten._log_softmax(x, dim, False),
    "cumsum": lambda x, dim: x.cumsum(dim),
    "cumprod": lambda x, dim: x.cumprod(dim),
    "logcumsumexp": lambda x, dim: x.logcumsumexp(dim),
    "cummax": lambda x, dim: x.cummax(dim)[0],
    "cummin": lambda x, dim: x.cummin(dim)[0],
    "topk": lambda x, dim: x.topk(2, dim)[0],
    "sort": lambda x, dim: x.sort(dim)[0],
    "argsort": lambda x, dim: x.argsort(dim).float(),
    "argmax": lambda x, dim: x.argmax(dim, keepdim=True).float(),
    "argmin": lambda x, dim: x.argmin(dim, keepdim=True).float(),
    "median": lambda x, dim: x.median(dim, keepdim=True)[0],
    "mode": lambda x, dim: x.mode(dim, keepdim=True)[0],
    "kthvalue": lambda x, dim: x.kthvalue(2, dim, keepdim=True)[0],
}
for _name, _op in _ALONG.items():

    @example(_name)
    def _along_positions(draw: Draw, op: Reduce = _op, name: str = _name) -> Example:
        dim = draw.one_of(2, -1)
        return image(draw, lambda x: op(x, dim), draw.size(2, 6))

    @example(_name)
    def _along_channels(draw: Draw, op: Reduce = _op, name: str = _name) -> Example:
        return image(
            draw,
            lambda x: op(x, 1),
            draw.size(2, 6),
            0,
            frozen=f"ordered or normalized by aten.{name}",
        )
