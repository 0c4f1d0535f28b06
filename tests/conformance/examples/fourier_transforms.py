"""Fourier transforms along positions keep every channel apart, along channels they mix them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tests.conformance.examples.base import Draw, Example, example, image

_ONE: dict[str, Callable[..., Tensor]] = {
    "fft_fft": lambda x, dim: torch.fft.fft(x, dim=dim).real,
    "fft_ifft": lambda x, dim: torch.fft.ifft(x, n=5, dim=dim).imag,
    "fft_rfft": lambda x, dim: torch.fft.rfft(x, n=6, dim=dim).abs(),
    "fft_irfft": lambda x, dim: torch.fft.irfft(torch.complex(x, x), dim=dim),
    "fft_hfft": lambda x, dim: torch.fft.hfft(torch.complex(x, x), dim=dim),
    "fft_ihfft": lambda x, dim: torch.fft.ihfft(x, dim=dim).real,
}
_MANY: dict[str, Callable[[Tensor], Tensor]] = {
    "fft_fft2": lambda x: torch.fft.fft2(x).real,
    "fft_ifft2": lambda x: torch.fft.ifft2(x, dim=(3, 2)).imag,
    "fft_rfft2": lambda x: torch.fft.rfft2(x).abs(),
    "fft_irfft2": lambda x: torch.fft.irfft2(torch.complex(x, x), s=(6, 6)),
    "fft_fftn": lambda x: torch.fft.fftn(x, s=(5, 5)).real,
    "fft_ifftn": lambda x: torch.fft.ifftn(x, dim=(2, -1)).real,
    "fft_rfftn": lambda x: torch.fft.rfftn(x, dim=(2,)).abs(),
    "fft_irfftn": lambda x: torch.fft.irfftn(torch.complex(x, x), dim=(2, 3)),
}
for _name, _op in _ONE.items():

    @example(_name)
    def _positions(draw: Draw, op: Callable[..., Tensor] = _op) -> Example:
        dim = draw.one_of(2, -1)
        return image(draw, lambda x: op(x, dim), draw.size(2, 6))

    @example(_name)
    def _channels(draw: Draw, op: Callable[..., Tensor] = _op, name: str = _name) -> Example:
        return image(draw, lambda x: op(x, 1), draw.size(3, 6), 0, frozen=f"transformed by aten.{name}")


for _name, _transform in _MANY.items():

    @example(_name)
    def _planes(draw: Draw, op: Callable[[Tensor], Tensor] = _transform) -> Example:
        return image(draw, op, draw.size(2, 6))


@example("fft_fftn")
def _everything(draw: Draw) -> Example:
    op = lambda x: torch.fft.fftn(x).real
    return image(draw, op, draw.size(2, 6), 0, frozen="transformed by aten.fft_fftn")
