"""Criteria by second derivatives: of the loss by weights, and of the error of a layer by its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from edgeprune.criteria.base import Aggregated, Criterion, Network, register
from edgeprune.criteria.magnitude import filters
from edgeprune.graph import Group, Units
from edgeprune.graph.consumer_interpreter import ConsumerInterpreter
from edgeprune.graph.coupling import Consumption
from edgeprune.model.seeding import generator
from edgeprune.statistics import parameter_gradients
from edgeprune.statistics.forward_backward import batches
from edgeprune.statistics.linear_layers import LinearLayer, layers_of

_DAMPING = 1e-3
"""Fraction of the mean variance of an input that is added to the Gram matrix, so that it has an inverse."""
_ROWS_A_BATCH = 4096


@register
class Obd(Aggregated):
    """Diagonal of the Hessian: sum over the filter of ``h * w**2 / 2``, h the second derivative of the loss by w.

    h is the empirical Fisher information, the mean over samples of squared gradients, estimated from the gradients of
    batches. LeCun et al., "Optimal Brain Damage" (1990), equation 5, over whole filters.
    """

    name = "obd"
    needs = "labels"

    def score(self, network: Network) -> Tensor:
        total: dict[str, Tensor] = {}
        count = 0

        def record(gradients: Mapping[str, Tensor], samples: int) -> None:
            nonlocal count
            count += samples
            for name, gradient in gradients.items():
                # Samples of a batch are independent: the square of their mean is a samples-th of the mean square.
                total[name] = total.get(name, torch.zeros_like(gradient)) + samples * samples * gradient.square()

        parameter_gradients(network.units, network.data, record)
        state = dict(network.model.named_parameters(remove_duplicate=False))
        saliency = {name: square / count * state[name].detach().square() / 2 for name, square in total.items()}
        parts = ((unit, rows.sum(1)) for unit, rows in filters(network, saliency))
        return self._together(network.units, parts)


@register
class Obs(Criterion):
    """Error of the layers that read a unit after its removal and an optimal update of their remaining weights.

    The Hessian of the squared error of a layer by its weights is the Gram matrix G of its inputs. Without the inputs i
    of a unit, the optimal update leaves the error ``tr(W_i inv(inv(G)_ii) W_i^T)``, here as a fraction of the output
    power of the layer, summed over layers.

    1. Remove the unit of the group with the smallest error, and update inv(G) and W.
    2. The score of the unit is this error, or the largest previous error of the group if that is larger. Therefore, the
       second of two similar units has a high score.
    3. Repeat until the group is empty. Units that no convolution without groups or linear layer reads have the mean.

    Hassibi and Stork, "Optimal Brain Surgeon" (1993), equation 5; by layers after Dong et al., "Layer-wise Optimal
    Brain Surgeon" (2017). Complexity: O(units * features^2) for each group and layer.
    """

    name = "obs"
    needs = "data"

    def score(self, network: Network) -> Tensor:
        units = network.units
        grams = _grams(network)
        scores = torch.full((len(units),), -1.0, dtype=torch.float64)
        for group in units.groups:
            read = [_Inverse.of(network, layer, gram, group) for layer, gram in grams.items() if _reads(layer, group)]
            if read:
                scores[group.start : group.stop] = _eliminate(read, len(group))
        has_score = scores >= 0
        return torch.where(has_score, scores, scores[has_score].mean() if bool(has_score.any()) else 0.0)


@dataclass
class _Inverse:
    """State of one layer during the elimination of the units of one group.

    Attributes:
        weight: Updated weights, float64 (out, features), divided by the root of the output power.
        inverse: Inverse of the Gram matrix of the remaining features, (features, features).
        features: Indices of the features of each unit, (k,). None for a unit that the layer does not read.
    """

    weight: Tensor
    inverse: Tensor
    features: list[Tensor | None]

    @staticmethod
    def of(network: Network, layer: LinearLayer, gram: Tensor, group: Group) -> _Inverse:
        weight = layer.matrix(network.model.get_parameter(layer.weight).cpu())[0]
        power = torch.einsum("of,fg,og->", weight, gram, weight).clamp(min=1e-30)
        damped = gram + torch.eye(len(gram), dtype=gram.dtype) * gram.diagonal().mean().clamp(min=1e-12) * _DAMPING
        per_input = len(gram) // len(layer.site.units)
        features = []
        for unit in range(group.start, group.stop):
            inputs = (layer.site.units == unit).nonzero().flatten()
            indices = (inputs[:, None] * per_input + torch.arange(per_input)).flatten()
            features.append(indices if len(indices) else None)
        return _Inverse(weight / power.sqrt(), torch.linalg.inv(damped), features)

    def errors(self, remaining: list[int]) -> Tensor:
        """Return the increase of the error of the layer by removal of each ``remaining`` unit alone, (n,)."""
        errors = torch.zeros(len(remaining), dtype=torch.float64)
        by_size: dict[int, list[int]] = {}
        for at, unit in enumerate(remaining):
            indices = self.features[unit]
            if indices is not None:
                by_size.setdefault(len(indices), []).append(at)
        for places in by_size.values():
            index = torch.stack([indices for at in places if (indices := self.features[remaining[at]]) is not None])
            block = self.inverse[index[:, :, None], index[:, None, :]]
            weight = self.weight[:, index].movedim(1, 0)
            errors[places] = (weight.mT * torch.linalg.solve(block, weight.mT)).sum((1, 2))
        return errors

    def remove(self, unit: int) -> None:
        """Remove ``unit`` and update the other weights to compensate for it."""
        index = self.features[unit]
        if index is not None:
            column = self.inverse[:, index]
            update = torch.linalg.solve(column[index], column.T)
            self.weight = self.weight - self.weight[:, index] @ update
            self.inverse = self.inverse - column @ update


def _eliminate(layers: list[_Inverse], size: int) -> Tensor:
    """Return the scores of the units of a group, (size,): the error at removal, in ascending order."""
    scores = torch.zeros(size, dtype=torch.float64)
    remaining, worst = list(range(size)), 0.0
    while remaining:
        errors = torch.stack([layer.errors(remaining) for layer in layers]).sum(0)
        weakest = int(errors.argmin())
        worst = max(worst, float(errors[weakest]))
        scores[remaining[weakest]] = worst
        for layer in layers:
            layer.remove(remaining[weakest])
        remaining.pop(weakest)
    return scores


def _reads(layer: LinearLayer, group: Group) -> bool:
    return bool(((layer.site.units >= group.start) & (layer.site.units < group.stop)).any())


def _grams(network: Network) -> dict[LinearLayer, Tensor]:
    """Return the second moments of the inputs of each layer, float64 (features, features), computed in one pass."""
    units = network.units
    layers = {node: layer for node, layer in layers_of(units).items() if layer.groups == 1}
    run = _Gram(units, layers, network.seed)
    for inputs, _, _ in batches(units, network.data):
        with torch.no_grad():
            run.run(*inputs, enable_io_processing=False)
    return {layers[node]: total / run.rows[node] for node, total in run.totals.items()}


class _Gram(ConsumerInterpreter):
    def __init__(self, units: Units, layers: Mapping[fx.Node, LinearLayer], seed: int) -> None:
        super().__init__(units)
        self.layers = layers
        self.totals: dict[fx.Node, Tensor] = {}
        self.rows: dict[fx.Node, int] = {}
        self._rng = generator(seed)

    def consume(self, node: fx.Node, _consumption: Consumption, value: Tensor) -> Tensor:
        layer = self.layers.get(node)
        if layer is not None:
            rows = layer.rows(value, _ROWS_A_BATCH / layer.positions(value), self._rng)[0]
            gram = (rows.mT @ rows).double().cpu()
            self.totals[node] = self.totals[node] + gram if node in self.totals else gram
            self.rows[node] = self.rows.get(node, 0) + len(rows)
        return value
