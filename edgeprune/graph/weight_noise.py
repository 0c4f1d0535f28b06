"""Jittered weights that reveal mistakes, which new BatchNorms, tiny layer scales and zeros would hide."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def jittered(state: Mapping[str, Tensor], seed: int = 0) -> dict[str, Tensor]:
    """Return ``state`` with noise, so that all entries differ. Variances remain positive, integers are unchanged."""
    generator = torch.Generator().manual_seed(seed)
    result: dict[int, Tensor] = {}
    for source in state.values():
        if id(source) in result:
            continue
        tensor = source.detach()
        if tensor.is_floating_point() and tensor.numel():
            spread = float(tensor.double().square().mean().sqrt())
            noise = torch.randn(tensor.shape, generator=generator).to(tensor) * (
                0.3 * spread if spread > 1e-3 else 0.05
            )
            positive = bool((tensor >= 0).all())
            result[id(source)] = (tensor + noise).abs() if positive else tensor + noise
        else:
            result[id(source)] = tensor
    return {name: result[id(tensor)] for name, tensor in state.items()}
