"""Names of the inputs and outputs of a network that was imported from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import fx, nn

_KEY = "port_names"


@dataclass(frozen=True)
class PortNames:
    """Names of the inputs and outputs of a network, in the order of its arguments and results."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def port_names(network: nn.Module) -> PortNames | None:
    """Return the names of inputs and outputs in the file of an imported network; None for other networks."""
    return network.meta.get(_KEY) if isinstance(network, fx.GraphModule) else None


def set_port_names(network: fx.GraphModule, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Set the names that ``port_names`` returns. Copies of the network keep them."""
    network.meta[_KEY] = PortNames(tuple(inputs), tuple(outputs))


def copy_port_names(network: nn.Module, other: fx.GraphModule) -> None:
    """Give ``other``, which computes the same outputs, the names of ``network``, if it has any."""
    names = port_names(network)
    if names is not None:
        other.meta[_KEY] = names
