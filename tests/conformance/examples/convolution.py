"""Convolutions: groups keep equal sizes, in the finer of the two ways."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.conformance.examples.base import Draw, Example, example, image

_PLAIN = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def _plain(draw: Draw, rank: int) -> Example:
    channels, out = draw.size(2, 8), draw.size(2, 8)
    op = _PLAIN[rank](
        channels,
        out,
        draw.size(1, 3),
        stride=draw.size(1, 2),
        dilation=draw.size(1, 2),
        padding=2,
        bias=draw.one_of(True, False),
    )
    return image(draw, op, channels, rank=rank, more={"op": out})


def _grouped(draw: Draw, rank: int, kinds: dict[int, type[nn.Module]] = _PLAIN) -> Example:
    groups, own, out = draw.size(2, 4), draw.size(2, 4), draw.size(2, 4)
    op = kinds[rank](groups * own, groups * out, draw.size(1, 2), groups=groups, bias=draw.one_of(True, False))
    if groups >= own:
        return image(draw, op, groups * own, groups, rank=rank, more={"op": groups})
    return image(draw, op, groups * own, own, rank=rank, more={"op": out})


def _depthwise(draw: Draw, rank: int, kinds: dict[int, type[nn.Module]] = _PLAIN) -> Example:
    channels, multiplier = draw.size(3, 8), draw.size(1, 2)
    op = kinds[rank](channels, channels * multiplier, 3, padding=1, groups=channels)
    return image(draw, op, channels, rank=rank, more={"op": channels})


def _transposed(draw: Draw, rank: int) -> Example:
    channels, out, stride = draw.size(2, 6), draw.size(2, 6), draw.size(1, 2)
    op = _TRANSPOSED[rank](channels, out, 3, stride=stride, padding=draw.size(0, 1), output_padding=stride - 1)
    return image(draw, op, channels, rank=rank, more={"op": out})


class _AcrossPositions(nn.Module):
    """A convolution of kernel size 1 that reads the channels before it as positions (the spatial gate of gMLP)."""

    def __init__(self, op: nn.Module) -> None:
        super().__init__()
        self.op = op

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x.transpose(1, -1)).transpose(1, -1)


def _pointwise(draw: Draw, rank: int, kinds: dict[int, type[nn.Module]] = _PLAIN) -> Example:
    channels, positions, groups = draw.size(2, 6), 6, draw.one_of(1, 6)
    op = kinds[rank](positions, positions, (3,) * (rank - 1) + (1,), groups=groups, padding=(1,) * (rank - 1) + (0,))
    return image(draw, _AcrossPositions(op), channels, rank=rank, size=positions)


for _rank in _PLAIN:
    example(f"conv{_rank}d")(lambda draw, rank=_rank: _pointwise(draw, rank))
    example(f"conv_transpose{_rank}d")(lambda draw, rank=_rank: _pointwise(draw, rank, _TRANSPOSED))
    for _build in (_plain, _grouped, _depthwise):
        example(f"conv{_rank}d")(lambda draw, build=_build, rank=_rank: build(draw, rank))
    example(f"conv_transpose{_rank}d")(lambda draw, rank=_rank: _transposed(draw, rank))
    for _build in (_grouped, _depthwise):
        example(f"conv_transpose{_rank}d")(lambda draw, build=_build, rank=_rank: build(draw, rank, _TRANSPOSED))


class _Convolution(nn.Module):
    """The operator below the others, with each of its arguments."""

    def __init__(self, inputs: int, outputs: int, groups: int, *, transposed: bool) -> None:
        super().__init__()
        shape = (inputs, outputs // groups, 3, 3) if transposed else (outputs, inputs // groups, 3, 3)
        self.weight, self.bias = nn.Parameter(torch.randn(shape)), nn.Parameter(torch.randn(outputs))
        self.groups, self.transposed = groups, transposed

    def forward(self, x: Tensor) -> Tensor:
        return torch.convolution(
            x, self.weight, self.bias, [1, 1], [1, 1], [1, 1], self.transposed, [0, 0], self.groups
        )


@example("convolution")
def _convolution(draw: Draw) -> Example:
    transposed, groups = draw.one_of(False, True), draw.one_of(1, 3)
    channels, out = 3 * draw.size(1, 2), 3 * draw.size(1, 2)
    op = _Convolution(channels, out, groups, transposed=transposed)
    units = (channels, out) if groups == 1 else (3, 3)
    return image(draw, op, channels, units[0], more={"op": units[1]})
