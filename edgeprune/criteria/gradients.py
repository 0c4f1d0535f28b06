"""Criteria by gradients of the loss by gates. A gate is a factor 1 on the activations of a unit at all consumers.

Removal of a unit sets its gate to 0, so the change of the loss is expanded as a function of the gate.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from edgeprune.criteria.base import Aggregated, Criterion, Network, register
from edgeprune.criteria.magnitude import filters
from edgeprune.statistics import Site, backward, parameter_gradients


class _Gated(Criterion):
    needs = "labels"
    additive = True

    def score(self, network: Network) -> Tensor:
        return self._read(_Gates(network))

    @abstractmethod
    def _read(self, gates: _Gates) -> Tensor:
        """Return the score of each unit, (units,)."""


@register
class Taylor(_Gated):
    """First-order change of the loss: mean over samples of ``|dL/dgate|``, L the loss of one sample.

    Molchanov et al., "Pruning Convolutional Neural Networks for Resource Efficient Inference" (2017), equation 8.
    """

    name = "taylor"

    def _read(self, gates: _Gates) -> Tensor:
        return gates.magnitude / gates.count


@register
class Fisher(_Gated):
    """Squared gate gradients: mean over samples of ``(dL/dgate)**2``, half of it the Fisher loss change.

    Theis et al., "Faster Gaze Prediction with Dense Networks and Fisher Pruning" (2018); over coupled units after Liu
    et al., "Group Fisher Pruning" (2021): gradients of all consumers of a unit are added before they are squared.
    """

    name = "fisher"

    def _read(self, gates: _Gates) -> Tensor:
        return gates.square / gates.count


@register
class Taylor2(_Gated):
    """Second-order change of the loss: ``|-g + h / 2|``, g the mean gate gradient, h the curvature along the gate.

    h is the mean squared gate gradient of single samples (the empirical Fisher information), as the Hessian of a loss
    is where the network fits its data. LeCun et al., "Optimal Brain Damage" (1990), equation 2, for gates.
    """

    name = "taylor2"

    def _read(self, gates: _Gates) -> Tensor:
        return (-gates.sum / gates.count + gates.square / gates.count / 2).abs()


@register
class Snip(Aggregated):
    """Connection sensitivity: sum over the filter of ``|w * dL/dw|``, L the loss of all samples.

    Lee et al., "SNIP: Single-Shot Network Pruning Based on Connection Sensitivity" (2019); of whole filters after van
    Amersfoort et al., "Single Shot Structured Pruning Before Training" (2020).
    """

    name = "snip"
    needs = "labels"

    def score(self, network: Network) -> Tensor:
        total: dict[str, Tensor] = {}

        def record(gradients: Mapping[str, Tensor], samples: int) -> None:
            for name, gradient in gradients.items():
                total[name] = total.get(name, torch.zeros_like(gradient)) + samples * gradient

        parameter_gradients(network.units, network.data, record)
        state = dict(network.model.named_parameters(remove_duplicate=False))
        sensitivity = {name: (gradient * state[name].detach()).abs() for name, gradient in total.items()}
        parts = ((unit, rows.sum(1)) for unit, rows in filters(network, sensitivity))
        return self._together(network.units, parts)


class _Gates:
    """Sums over samples of the gate gradients of each unit.

    Attributes:
        count: Number of samples.
        sum: Sum of the gradients, float64 (units,).
        magnitude: Sum of their absolute values, float64 (units,).
        square: Sum of their squares, float64 (units,).
    """

    def __init__(self, network: Network) -> None:
        self.count = 0
        size = len(network.units)
        self.sum, self.magnitude, self.square = (torch.zeros(size, dtype=torch.float64) for _ in range(3))
        open_gates: list[tuple[Site, Tensor]] = []

        def record(site: Site, value: Tensor, gradient: Tensor) -> None:
            open_gates.append((site, (value * gradient).sum(2).cpu()))

        def done(samples: int) -> None:
            # The loss is the mean over the batch: times its size, the gradient is that of each sample's own loss.
            gates = torch.zeros(samples, size, dtype=torch.float64)
            for site, gradient in open_gates:
                own = gradient * samples if len(gradient) == samples else gradient.expand(samples, -1)
                site.add(own, gates)
            open_gates.clear()
            self.count += samples
            self.sum += gates.sum(0)
            self.magnitude += gates.abs().sum(0)
            self.square += gates.square().sum(0)

        backward(network.units, network.data, record, done)
