"""What the conformance suite found outside the rules, each with the smallest network that shows it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgeprune.errors import EquivalenceError
from edgeprune.graph import Units, capture, shrink, units_of


class _Network(nn.Module):
    def __init__(self, op: object, channels: int = 8) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(2, channels, 1), nn.Conv2d(channels, 3, 1)
        self.op = op

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.op(self.first(x)))  # type: ignore[operator]


def _units(network: nn.Module) -> tuple[Units, tuple[Tensor, ...]]:
    example = (torch.randn(2, 2, 4, 4),)
    return units_of(capture(network.eval(), example)), example


@pytest.mark.parametrize(
    "op",
    [
        lambda x: torch.cat(x.split([2, 6], 1)[::-1], 1),
        lambda x: torch.cat([x[:, :2].amax(1, keepdim=True) * x[:, 2:4], x[:, 2:]], 1),
    ],
)
def test_no_part_of_a_split_becomes_empty(op: object) -> None:
    units, _ = _units(_Network(op))
    part = units.unit_of[units.coordinates.coupling.owners[0].start :][:2]
    assert any(set(floor.tolist()) <= set(part.tolist()) for floor in units.floors)


def test_equivalence_check_refuses_nan() -> None:
    """One channel is its own mean: 0 / 0."""
    network = _Network(lambda x: (x - x.mean(1, keepdim=True)) / (x - x.mean(1, keepdim=True)), 4)
    units, _ = _units(network)
    removed = units.prunable.clone()
    removed[0] = False
    with pytest.raises(EquivalenceError):
        shrink(network, units, removed)


def test_an_instance_norm_without_weights_is_resized() -> None:
    network = nn.Sequential(nn.Conv2d(2, 6, 1), nn.InstanceNorm2d(6), nn.Conv2d(6, 2, 1))
    units, _ = _units(network)
    removed = torch.zeros(len(units), dtype=torch.bool)
    removed[0] = True
    small, _ = shrink(network, units, removed)
    assert (small.form, small.model[1].num_features) == ("module", 5)


def test_features_of_the_network_are_no_channels_of_its_normalisation() -> None:
    class Functional(_Network):
        num_features = 8

    network = Functional(nn.functional.instance_norm)
    units, _ = _units(network)
    removed = torch.zeros(len(units), dtype=torch.bool)
    removed[0] = True
    small, _ = shrink(network, units, removed)
    assert (small.form, small.model.num_features) == ("module", 8)


@pytest.mark.xfail(strict=False, reason="a group of one unit is frozen even where its dimension has other channels")
def test_single_padded_channel_can_be_removed() -> None:
    class Shortcut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Conv2d(4, 5, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x) + nn.functional.pad(x, (0, 0, 0, 0, 0, 1))

    network = nn.Sequential(nn.Conv2d(2, 4, 1), Shortcut(), nn.Conv2d(5, 3, 1))
    units, _ = _units(network)
    assert int(units.prunable.sum()) == 5
