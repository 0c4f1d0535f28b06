"""Operators that draw random numbers."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.conformance.examples.base import Draw, Example, example, image

_aten = torch.ops.aten

_DRAWN: dict[str, tuple[Callable[[Tensor], Tensor], ...]] = {
    "bernoulli": (
        lambda x: torch.bernoulli(x.sigmoid()),
        lambda x: x * torch.bernoulli(x, p=0.3),
        lambda x: x * _aten.bernoulli.Tensor(x, x.sigmoid()),
        lambda x: x * torch.empty_like(x).bernoulli_(0.3),
        lambda x: x * x.clone().bernoulli_(x.sigmoid()),
        lambda x: x * x.new_empty((*x.shape[:1], 1, 1, 1)).bernoulli_(0.3),  # random depth
    ),
    "cauchy": (lambda x: x + x.clone().cauchy_(), lambda x: x + _aten.cauchy(x)),
    "exponential": (lambda x: x - torch.empty_like(x).exponential_().log(), lambda x: x + _aten.exponential(x)),
    "geometric": (lambda x: x + x.clone().geometric_(0.3), lambda x: x + _aten.geometric(x, 0.3)),
    "log_normal": (lambda x: x + x.clone().log_normal_(), lambda x: x + _aten.log_normal(x)),
    "normal": (
        lambda x: x + x.clone().normal_(0.5, 2.0),
        torch.normal,
        lambda x: torch.normal(0.5, x.exp()),
        lambda x: torch.normal(x, x.exp()),
    ),
    "normal_functional": (lambda x: x + _aten.normal_functional(x),),
    "poisson": (lambda x: torch.poisson(x.exp()),),
    "rand_like": (lambda x: x + torch.rand_like(x),),
    "randint_like": (
        lambda x: x * torch.randint_like(x, 5),
        lambda x: x * torch.randint_like(x, 2, 5),
        lambda x: x * torch.randint_like(x, torch.tensor(5)),
    ),
    "randn_like": (lambda x: x + torch.randn_like(x),),
    "random": (
        lambda x: x * x.clone().random_(5),
        lambda x: x * x.long().random_(5),
        lambda x: x + 1e-6 * _aten.random(x),
    ),
    "rrelu": (nn.RReLU(), nn.RReLU(inplace=True), lambda x: F.rrelu(x, training=True)),
    "rrelu_with_noise": (
        lambda x: _aten.rrelu_with_noise(x, torch.zeros_like(x), 0.1, 0.3, True),
        lambda x: _aten.rrelu_with_noise_(x, torch.zeros_like(x), 0.1, 0.3, True),
    ),
    "uniform": (lambda x: x + torch.empty_like(x).uniform_(1, 3), lambda x: x + _aten.uniform(x)),
    "_standard_gamma": (lambda x: torch._standard_gamma(x.exp()),),
    "native_dropout": (lambda x: x * sum(torch.native_dropout(x, 0.3, True)),),
    "rrelu_with_noise_functional": (
        lambda x: sum(_aten.rrelu_with_noise_functional(x, torch.zeros_like(x), 0.1, 0.3, True)),
    ),
}
for _name, _ops in _DRAWN.items():
    for _op in _ops:

        @example(_name)
        def _drawn(draw: Draw, op: Callable[[Tensor], Tensor] = _op) -> Example:
            return image(draw, op, draw.size(2, 8))
