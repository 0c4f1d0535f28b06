"""Families of the zoo: how a network is made by name, and weights that hide no mistake of pruning."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

Example = tuple[Any, ...] | Mapping[str, Any]
Made = tuple[nn.Module, Example]


@dataclass(frozen=True)
class Family:
    """Networks of one field.

    Attributes:
        title: Heading of the family in a report.
        makers: Function that returns a new network and its example inputs, by the name of the network.
        packages: Packages to import, beyond torch, by the name of the network.
    """

    title: str
    makers: Mapping[str, Callable[[], Made]]
    packages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def missing(self, name: str) -> tuple[str, ...]:
        """Return the packages of the network ``name`` that are not installed; none of them is imported."""
        return tuple(package for package in self.packages.get(name, ()) if importlib.util.find_spec(package) is None)


def randomize(network: nn.Module) -> nn.Module:
    """Give each channel of each normalization its own statistics and affine values, and zeros a value; in place.

    New normalizations are equal in all channels, and a branch or a head that begins at zero has no effect: both would
    hide the removal of a wrong channel.
    """
    with torch.no_grad():
        for parameter in network.parameters():
            if not bool(parameter.any()):
                nn.init.normal_(parameter, std=0.02)
        for module in network.modules():
            if "norm" in type(module).__name__.lower():
                _randomize_normalization(module)
    return network


def _randomize_normalization(module: nn.Module) -> None:
    own = {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers(recurse=False))}
    for name, tensor in own.items():
        if tensor.ndim == 0 or not tensor.is_floating_point():
            continue
        if name == "running_var" or (name in ("weight", "gamma", "scale") and tensor.ndim == 1):
            tensor.uniform_(0.6, 1.4)
        elif name in ("bias", "beta", "running_mean"):
            tensor.normal_(std=0.1)


def images(pixels: int, channels: int = 3) -> tuple[Tensor]:
    """Return one random image, (1, channels, pixels, pixels)."""
    return (torch.randn(1, channels, pixels, pixels),)


@cache
def declare_operators() -> torch.library.Library:
    """Declare the two operators that torchvision expects before it is imported, for a CPU-only build of PyTorch."""
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library
