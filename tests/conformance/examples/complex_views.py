"""Complex numbers: the channels of real and imaginary parts are removed in pairs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tests.conformance.examples.base import Draw, Example, example, sequence

_PARTS: dict[str, Callable[[Tensor], Tensor]] = {
    "real": torch.real,
    "imag": torch.imag,
    "_conj": lambda z: torch._conj(z).real,
    "_conj_physical": lambda z: torch._conj_physical(z).real,
    "conj_physical": lambda z: torch.conj_physical(z).imag,
    "resolve_conj": lambda z: z.conj().resolve_conj().imag,
}


def _numbers(x: Tensor) -> Tensor:
    """(..., features) -> (..., features / 2), complex."""
    return torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())


@example("view_as_complex", "view_as_real")
def _rotation(draw: Draw) -> Example:
    pairs = draw.size(2, 4)
    turns = torch.polar(torch.ones(5, pairs), torch.randn(5, pairs))
    return sequence(draw, lambda x: torch.view_as_real(_numbers(x) * turns).flatten(-2), 2 * pairs, pairs)


@example("view_as_complex")
def _single_number(draw: Draw) -> Example:
    op = lambda x: torch.view_as_real(torch.view_as_complex(x) * (0.6 + 0.8j))
    return sequence(draw, op, 2, 0, frozen="real and imaginary part of one number")


for _op, _part in _PARTS.items():

    def _parts(draw: Draw, part: Callable[[Tensor], Tensor] = _part) -> Example:
        pairs = draw.size(2, 4)
        return sequence(draw, lambda x: part(_numbers(x) * (0.6 + 0.8j)), 2 * pairs, pairs)

    example(_op)(_parts)


@example("complex", "polar")
def _from_parts(draw: Draw) -> Example:
    half = draw.size(2, 4)
    join = lambda a, b: torch.complex(a, b).abs() + torch.polar(a.abs(), b).imag
    return sequence(draw, lambda x: join(*x.chunk(2, -1)), 2 * half, half)
