"""Data movement: every element is followed to its place."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.conformance.examples.base import Draw, Example, example, image, sequence


class _Indexed(nn.Module):
    """An operation that reads a table of indices."""

    def __init__(self, index: Tensor, op: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.register_buffer("index", index)
        self.op = op

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x, self.index)


def _fold(x: Tensor, factor: int) -> Tensor:
    """(batch, channels, ...) -> (batch, factor, channels / factor, ...)."""
    return x.view(x.shape[0], factor, x.shape[1] // factor, *x.shape[2:])


@example("flatten")
def _flatten(draw: Draw) -> Example:
    return image(draw, lambda x: x.flatten(1), draw.size(2, 6), read="linear")


@example("view")
def _view(draw: Draw) -> Example:
    factor, width = draw.size(2, 3), draw.size(2, 4)
    return image(draw, lambda x: _fold(x, factor).transpose(1, 2).contiguous().view(x.shape), factor * width)


@example("_unsafe_view")
def _unsafe_view(draw: Draw) -> Example:
    op = lambda x: torch.ops.aten._unsafe_view(x, [x.shape[0], -1, x.shape[-1]])
    return image(draw, op, draw.size(2, 6))


@example("_reshape_alias")
def _reshape_alias(draw: Draw) -> Example:
    channels = draw.size(2, 6)
    op = lambda x: torch.ops.aten._reshape_alias(x, [x.shape[0], channels, 16], [channels * 16, 16, 1])
    return image(draw, op, channels)


@example("reshape")
def _reshape(draw: Draw) -> Example:
    factor, width = draw.size(2, 3), draw.size(2, 4)
    return image(draw, lambda x: _fold(x, factor).transpose(1, 2).reshape(x.shape), factor * width)


@example("view_as")
def _view_as(draw: Draw) -> Example:
    return image(draw, lambda x: x.flatten(2).view_as(x), draw.size(2, 6))


@example("reshape_as")
def _reshape_as(draw: Draw) -> Example:
    return image(draw, lambda x: x.flatten(2).reshape_as(x), draw.size(2, 6))


@example("unflatten")
def _unflatten(draw: Draw) -> Example:
    factor, width = draw.size(2, 3), draw.size(2, 4)
    return image(draw, lambda x: x.unflatten(1, (factor, width)).flatten(1, 2), factor * width)


@example("unflatten", "softmax")
def _heads(draw: Draw) -> Example:
    """Heads that a softmax keeps apart: the outer factor of the split is what may go."""
    heads, width = draw.size(2, 4), draw.size(2, 4)
    op = lambda x: x.unflatten(-1, (heads, width)).softmax(-1).flatten(-2)
    return sequence(draw, op, heads * width, heads)


@example("as_strided")
def _as_strided(draw: Draw) -> Example:
    """The strides of a transposition, written by hand."""
    channels = draw.size(2, 6)
    op = lambda x: x.as_strided((x.shape[0], channels, 4, 3), (channels * 12, 12, 1, 4))
    return image(draw, op, channels, size=(3, 4))


@example("as_strided")
def _as_strided_of_a_transposition(draw: Draw) -> Example:
    """Memory that does not lie in the order of the indices is not followed."""
    channels = draw.size(2, 6)
    op = lambda x: x.transpose(1, 2).as_strided((x.shape[0], channels, 4, 4), (channels * 16, 16, 4, 1))
    return image(draw, op, channels, 0, frozen="aten.as_strided with indices that depend on the data")


@example("channel_shuffle")
def _channel_shuffle(draw: Draw) -> Example:
    groups, width = draw.size(2, 3), draw.size(2, 4)
    return image(draw, lambda x: F.channel_shuffle(x, groups), groups * width)


@example("chunk")
def _chunk(draw: Draw) -> Example:
    """Parts in another order; the last may be smaller."""
    parts, channels = draw.one_of((2, 5), (2, 8), (3, 6), (3, 8))
    op = lambda x: torch.cat([part * at for at, part in enumerate(reversed(x.chunk(parts, 1)), 1)], 1)
    return image(draw, op, channels)


@example("chunk")
def _chunk_added(draw: Draw) -> Example:
    """Parts that are added are tied."""
    parts, width = draw.size(2, 3), draw.size(2, 4)
    return image(draw, lambda x: sum(x.chunk(parts, 1)), parts * width, width)


@example("unsafe_chunk")
def _unsafe_chunk(draw: Draw) -> Example:
    return image(draw, lambda x: torch.cat(x.unsafe_chunk(2, 1)[::-1], 1), draw.size(4, 9))


@example("split")
def _split(draw: Draw) -> Example:
    width, channels = draw.one_of((2, 6), (3, 5), (3, 8), (4, 6))
    return image(draw, lambda x: torch.cat(x.split(width, 1)[::-1], 1), channels)


@example("unsafe_split")
def _unsafe_split(draw: Draw) -> Example:
    width, channels = draw.one_of((2, 6), (3, 5), (3, 8), (4, 6))
    return image(draw, lambda x: torch.cat(x.unsafe_split(width, 1)[::-1], 1), channels)


def _sizes(draw: Draw) -> list[int]:
    return [draw.size(2, 4) for _ in range(draw.size(2, 3))]


@example("split_with_sizes")
def _split_with_sizes(draw: Draw) -> Example:
    sizes = _sizes(draw)
    return image(draw, lambda x: torch.cat(x.split(sizes, 1)[::-1], 1), sum(sizes))


@example("unsafe_split_with_sizes")
def _unsafe_split_with_sizes(draw: Draw) -> Example:
    sizes = _sizes(draw)
    return image(draw, lambda x: torch.cat(x.unsafe_split_with_sizes(sizes, 1)[::-1], 1), sum(sizes))


@example("split_with_sizes")
def _part_of_one_channel(draw: Draw) -> Example:
    """Nothing would be left of it."""
    width = draw.size(2, 6)
    op = lambda x: torch.cat(x.split([width, 1], 1)[::-1], 1)
    return image(draw, op, width + 1, width, frozen="read by a fixed index in aten.split_with_sizes")


@example("split_with_sizes")
def _part_that_fixed_data_meets(draw: Draw) -> Example:
    """Only the part that fixed data is added to stays whole."""
    width, fixed = draw.size(2, 5), draw.size(2, 4)

    def op(x: Tensor) -> Tensor:
        first, second = x.split([width, fixed], 1)
        return torch.cat([first, second.softmax(1)], 1)

    return image(draw, op, width + fixed, width, frozen="softmax")


@example("tensor_split")
def _tensor_split(draw: Draw) -> Example:
    parts, channels = draw.size(2, 3), draw.size(6, 9)
    return image(draw, lambda x: torch.cat(x.tensor_split(parts, 1)[::-1], 1), channels)


@example("unbind")
def _unbind(draw: Draw) -> Example:
    parts, width = draw.size(2, 3), draw.size(2, 4)
    return image(draw, lambda x: torch.cat(_fold(x, parts).unbind(1)[::-1], 1), parts * width)


@example("unbind")
def _unbind_multiplied(draw: Draw) -> Example:
    width = draw.size(2, 6)

    def op(x: Tensor) -> Tensor:
        one, other = _fold(x, 2).unbind(1)
        return one * other.sigmoid()

    return image(draw, op, 2 * width, width)


@example("pad")
def _pad(draw: Draw) -> Example:
    pads = [draw.size(0, 2) for _ in range(6)]
    return image(draw, lambda x: F.pad(x, pads), draw.size(2, 6))


@example("constant_pad_nd")
def _constant_pad(draw: Draw) -> Example:
    pads = [draw.size(-1, 2) for _ in range(4)]
    return image(draw, lambda x: torch.constant_pad_nd(x, pads, 0.5), draw.size(2, 6))


@example("pad")
def _residual_of_padded_channels(draw: Draw) -> Example:
    """He et al. 2015, option A: zeros beside the channels meet channels of another layer."""
    channels, before, after = draw.size(2, 6), draw.size(1, 3), draw.size(1, 3)
    other = nn.Conv2d(channels, before + channels + after, 1)

    class Shortcut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.other = other

        def forward(self, x: Tensor) -> Tensor:
            return self.other(x) + F.pad(x, (0, 0, 0, 0, before, after))

    return image(draw, Shortcut(), channels, more={"op.other": before + channels + after})


for _kind, _mode in (("reflection", "reflect"), ("replication", "replicate")):
    for _rank in (1, 2, 3):

        @example(f"{_kind}_pad{_rank}d")
        def _mirror(draw: Draw, op: str = f"{_kind}_pad{_rank}d", rank: int = _rank) -> Example:
            pads = [draw.size(0, 2) for _ in range(2 * rank)]
            return image(draw, lambda x: getattr(torch.ops.aten, op)(x, pads), draw.size(2, 6), rank=rank)

    @example("pad")
    def _mirror_by_mode(draw: Draw, mode: str = _mode) -> Example:
        pads = [draw.size(0, 2) for _ in range(4)]
        return image(draw, lambda x: F.pad(x, pads, mode=mode), draw.size(2, 6))


@example("diagonal")
def _diagonal(draw: Draw) -> Example:
    offset = draw.size(-2, 2)
    op = lambda x: x.diagonal(offset, 2, 3)
    return image(draw, op, draw.size(2, 6))


@example("expand")
def _expand(draw: Draw) -> Example:
    size = draw.size(2, 4)
    return image(draw, lambda x: x.mean((2, 3), keepdim=True).expand(-1, -1, size, size), draw.size(2, 6))


@example("expand")
def _expand_channels(draw: Draw) -> Example:
    """How often one channel is repeated is written down, so that nothing that it meets may go."""
    channels = draw.size(2, 6)
    op = lambda x: x * x.sum(1, keepdim=True).expand(-1, channels, -1, -1)
    return image(draw, op, channels, 0, frozen="combined with data whose size is fixed")


@example("expand_as")
def _expand_as(draw: Draw) -> Example:
    return image(draw, lambda x: x + x.mean((2, 3), keepdim=True).expand_as(x), draw.size(2, 6))


@example("repeat")
def _repeat(draw: Draw) -> Example:
    times = (1, draw.size(1, 3), draw.size(1, 2), 1)
    return image(draw, lambda x: x.repeat(times), draw.size(2, 6))


@example("tile")
def _tile(draw: Draw) -> Example:
    times = (draw.size(1, 3), draw.size(1, 2), 1)
    return image(draw, lambda x: x.tile(times), draw.size(2, 6))


@example("repeat_interleave")
def _repeat_interleave(draw: Draw) -> Example:
    times, dim = draw.size(2, 3), draw.size(1, 3)
    return image(draw, lambda x: x.repeat_interleave(times, dim), draw.size(2, 6))


@example("flip")
def _flip(draw: Draw) -> Example:
    dims = draw.one_of((1,), (1, 2), (3,), (-1, -3))
    return image(draw, lambda x: x.flip(dims), draw.size(2, 6))


@example("roll")
def _roll(draw: Draw) -> Example:
    shifts, dims = (draw.size(-3, 3), draw.size(0, 3)), draw.one_of((1, 2), (3, 1))
    return image(draw, lambda x: x.roll(shifts, dims), draw.size(3, 6))


@example("rot90")
def _rot90(draw: Draw) -> Example:
    times = draw.size(1, 3)
    return image(draw, lambda x: x.rot90(times, (2, 3)), draw.size(2, 6))


@example("rot90")
def _rot90_channels(draw: Draw) -> Example:
    times = draw.one_of(1, 3)
    return image(draw, lambda x: x.rot90(times, (1, 3)), draw.size(2, 6), read="linear")


@example("gather")
def _gather(draw: Draw) -> Example:
    channels = draw.size(2, 6)
    table = draw.order(channels)[None, :, None, None].expand(2, -1, 4, 4).contiguous()
    return image(draw, _Indexed(table, lambda x, index: x.gather(1, index)), channels)


@example("gather")
def _gather_by_data(draw: Draw) -> Example:
    channels = draw.size(2, 6)
    op = lambda x: x.gather(2, x.mean(1, keepdim=True).argsort(2).expand(-1, channels, -1, -1))
    return image(draw, op, channels, 0, frozen="gather with indices that depend on the data")


@example("index")
def _index(draw: Draw) -> Example:
    channels = draw.size(2, 6)
    return image(draw, _Indexed(draw.order(channels), lambda x, index: x[:, index]), channels)


@example("index_select")
def _index_select(draw: Draw) -> Example:
    channels = draw.size(2, 6)
    return image(draw, _Indexed(draw.order(channels), lambda x, index: x.index_select(1, index)), channels)


@example("index_select")
def _positions_by_index(draw: Draw) -> Example:
    op = _Indexed(draw.order(4)[:3], lambda x, index: x.index_select(3, index))
    return image(draw, op, draw.size(2, 6))


@example("im2col")
def _im2col(draw: Draw) -> Example:
    kernel, stride = draw.size(2, 3), draw.size(1, 2)
    return image(draw, lambda x: F.unfold(x, kernel, stride=stride), draw.size(2, 6))


@example("unfold")
def _unfold(draw: Draw) -> Example:
    size, step = draw.size(2, 3), draw.size(1, 2)
    return image(draw, lambda x: x.unfold(2, size, step), draw.size(2, 6))


@example("unfold")
def _unfold_channels(draw: Draw) -> Example:
    """Windows without overlap over the channels split them: one factor of the split may go."""
    size, windows = draw.size(2, 3), draw.size(2, 4)
    op = lambda x: x.unfold(1, size, size).mean((2, 3))
    return image(draw, op, size * windows, windows, read="conv")


@example("narrow")
def _narrow(draw: Draw) -> Example:
    channels, start = draw.size(4, 8), draw.size(0, 2)
    return image(draw, lambda x: x.narrow(1, start, 2), channels)


@example("slice")
def _slice(draw: Draw) -> Example:
    channels, start, step = draw.size(4, 8), draw.size(0, 2), draw.size(1, 2)
    return image(draw, lambda x: x[:, start:-1:step, 1:], channels)


@example("select")
def _select(draw: Draw) -> Example:
    dim, index = draw.size(2, 3), draw.size(-2, 2)
    return image(draw, lambda x: x.select(dim, index), draw.size(2, 6))


@example("select")
def _select_channel(draw: Draw) -> Example:
    """One channel is named by its place and stays."""
    channels, index = draw.size(3, 6), draw.size(-2, 2)
    op = lambda x: x * x.select(1, index).unsqueeze(1)
    return image(draw, op, channels, channels - 1, frozen="read by a fixed index in aten.select")


@example("squeeze", "unsqueeze")
def _squeeze(draw: Draw) -> Example:
    dim = draw.size(1, 4)
    return image(draw, lambda x: x.unsqueeze(dim).relu().squeeze(dim), draw.size(2, 6))


@example("pixel_shuffle")
def _pixel_shuffle(draw: Draw) -> Example:
    factor, channels = draw.size(2, 3), draw.size(2, 4)
    return image(draw, lambda x: F.pixel_shuffle(x, factor), factor**2 * channels, channels, size=2)


@example("pixel_unshuffle")
def _pixel_unshuffle(draw: Draw) -> Example:
    factor = draw.size(2, 3)
    return image(draw, lambda x: F.pixel_unshuffle(x, factor), draw.size(2, 5), size=6)


@example("permute")
def _permute(draw: Draw) -> Example:
    dims = draw.one_of((0, 2, 3, 1), (0, 2, 1, 3), (0, 3, 1, 2))
    back = [dims.index(dim) for dim in range(4)]
    return image(draw, lambda x: x.permute(dims).exp().permute(back), draw.size(2, 6))


@example("transpose")
def _transpose(draw: Draw) -> Example:
    return image(draw, lambda x: x.transpose(1, -1), draw.size(2, 6), read="linear")


for _name in ("swapaxes", "swapdims", "movedim", "moveaxis"):

    @example(_name)
    def _swap(draw: Draw, name: str = _name) -> Example:
        dim = draw.size(2, 3)
        op = lambda x: getattr(getattr(x, name)(1, dim).relu(), name)(dim, 1)
        return image(draw, op, draw.size(2, 6))


for _name in ("adjoint", "mH", "mT"):

    @example(_name)
    def _adjoint(draw: Draw, name: str = _name) -> Example:
        op = getattr(torch.ops.aten, name)
        return sequence(draw, op, draw.size(2, 6), read="conv")


for _name in ("t", "numpy_T", "matrix_H"):

    @example(_name)
    def _flipped_matrix(draw: Draw, name: str = _name) -> Example:
        op = getattr(torch.ops.aten, name)
        return sequence(draw, lambda x: op(op(x).relu()), draw.size(2, 6), steps=None)


for _name in ("tril", "triu"):

    @example(_name)
    def _triangle(draw: Draw, name: str = _name) -> Example:
        offset = draw.size(-1, 1)
        return image(draw, lambda x: getattr(x, name)(offset), draw.size(2, 6))

    @example(_name)
    def _triangle_of_features(draw: Draw, name: str = _name) -> Example:
        """Which features are zero depends on their place."""
        offset, features = draw.size(-1, 1), draw.size(2, 6)
        op = lambda x: getattr(x, name)(offset)
        return sequence(draw, op, features, 0, frozen=f"kept or zeroed by its place in aten.{name}")


@example("expand_as")
def _norm_repeated_for_each_feature(draw: Draw) -> Example:
    """``F.normalize`` repeats the norm of the features, with or without a dimension of its own."""
    normalize = lambda x: F.normalize(x, dim=1)
    of_sample = lambda x: x * x.sum((1, 2, 3)).mean().expand_as(x)
    return image(draw, draw.one_of(normalize, of_sample), draw.size(2, 6))
