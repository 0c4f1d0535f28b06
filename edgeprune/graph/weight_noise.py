"""Weights by which mistakes show: fresh BatchNorms, tiny layer scales and zeros hide which channel goes where."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def jittered(state: Mapping[str, Tensor], seed: int = 0) -> dict[str, Tensor]:
    """The same state with no two entries alike; variances stay positive, integers stay."""
    generator = torch.Generator().manual_seed(seed)
    made: dict[int, Tensor] = {}
    for given in state.values():
        if id(given) in made:
            continue
        tensor = given.detach()
        if tensor.is_floating_point() and tensor.numel():
            spread = float(tensor.double().square().mean().sqrt())
            noise = torch.randn(tensor.shape, generator=generator).to(tensor) * (
                0.3 * spread if spread > 1e-3 else 0.05
            )
            positive = bool((tensor >= 0).all())
            made[id(given)] = (tensor + noise).abs() if positive else tensor + noise
        else:
            made[id(given)] = tensor
    return {name: made[id(tensor)] for name, tensor in state.items()}
