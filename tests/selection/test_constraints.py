"""Minima, maxima, alignment and overrides of the numbers of remaining units."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from edgeprune.config.prune_settings import LayerSettings
from edgeprune.errors import InputError
from edgeprune.graph import Group, Units, capture, units_of
from edgeprune.selection import Constraint, resolve
from edgeprune.selection.pruning_levels import PruningLevels
from tests.networks.collection import make


def _units() -> Units:
    """Groups ``first`` of 20 units, ``second`` of 10, and the output, which is frozen."""
    layers = {"first": nn.Linear(6, 20), "act": nn.ReLU(), "second": nn.Linear(20, 10), "head": nn.Linear(10, 3)}
    network = nn.Sequential()
    for name, layer in layers.items():
        network.add_module(name, layer)
    return units_of(capture(network.eval(), (torch.randn(2, 6),)))


_UNITS = _units()


def _kept(name: str, layers: list[dict[str, Any]], **everywhere: Any) -> list[int]:
    constraints = resolve(_UNITS, layers=[LayerSettings(**layer) for layer in layers], **everywhere)
    at = [group.name for group in _UNITS.groups].index(name)
    return constraints[at].allowed_counts(_UNITS.groups[at])


def test_no_constraints_without_settings() -> None:
    assert _kept("first", []) == list(range(20, 0, -1))
    assert _kept("head", []) == [3]


@pytest.mark.parametrize(
    ("layer", "remaining"),
    [
        ({"min_units": 0.85}, [20, 19, 18, 17]),
        ({"min_units": 18}, [20, 19, 18]),
        ({"min_units": 64}, [20]),
        ({"max_units": 0.1}, [2, 1]),
        ({"max_units": 3, "min_units": 2}, [3, 2]),
        ({"align": 8}, [20, 16, 8]),
        ({"align": 8, "max_units": 0.9}, [16, 8]),
        ({"align": 8, "min_units": 9}, [20, 16]),
        ({"align": 64}, [20]),
        ({"exclude": True}, [20]),
        ({"exclude": False, "min_units": 1.0}, [20]),
    ],
)
@pytest.mark.parametrize("match", ["first", "fir*", "first.weight"])
def test_table_limits_the_matching_groups(layer: dict[str, Any], remaining: list[int], match: str) -> None:
    assert _kept("first", [{"match": match, **layer}]) == remaining
    assert _kept("second", [{"match": match, **layer}]) == list(range(10, 0, -1))
    assert _kept("head", [{"match": "*", **layer}]) == [3]


def test_later_table_overrides_earlier_ones() -> None:
    tables = [{"match": "*", "min_units": 0.5, "align": 4}, {"match": "first", "min_units": 18}]
    assert _kept("first", tables) == [20]
    assert _kept("second", tables) == [10, 8]
    assert _kept("first", [*tables, {"match": "first", "align": 1}]) == [20, 19, 18]
    assert _kept("second", [{"match": "second", "exclude": True}, {"match": "*", "exclude": False}], min_units=9) == [
        10,
        9,
    ]


def test_alignment_counts_channels_of_the_layers_that_make_a_group() -> None:
    """A sub-pixel unit is made of four channels, so two units are eight."""
    network, example = make("sub-pixel")
    units = units_of(capture(network, example))
    results = {group.name: group for group in units.groups if group.frozen is None}
    up = results["up"]
    assert up.producers[0].per_unit == 4
    assert Constraint(align=8).allowed_counts(up) == [count for count in range(len(up), 0, -1) if count % 2 == 0]


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"match": "frist", "min_units": 2}, "match = 'frist' .*'first'"),
        ({"match": "layer9.*", "min_units": 2}, r"match = 'layer9\.\*' "),
        (
            {"match": "head", "max_units": 2},
            r"max_units = 2, .*: head \(output of the network\)",
        ),
    ],
)
def test_a_pattern_without_effect_is_an_error(layer: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        _kept("first", [layer])


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"max_units": 4, "min_units": 8}, r"at most 4, min_units at least 8\b"),
        ({"max_units": 7, "align": 8}, r"at most 7, .* align = 8 .* 8\b"),
    ],
)
def test_a_contradiction_names_the_group(layer: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=rf"first.*max_units.*{message}"):
        _kept("first", [{"match": "first", **layer}])


def test_weakest_block_is_removed_first() -> None:
    scores = torch.rand(len(_UNITS), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ladder = PruningLevels.of(_UNITS, scores, resolve(_UNITS, align=8))
    first: Group = next(group for group in _UNITS.groups if group.name == "first")
    at = _UNITS.groups.index(first)
    own = slice(first.start, first.stop)
    assert ladder.sizes[at].tolist() == [4, 8]
    assert int(ladder.steps[at]) == 2
    order = scores[own].argsort()
    for level, removed_indices in enumerate([0, 4, 12]):
        levels = torch.zeros(len(_UNITS.groups), dtype=torch.long)
        levels[at] = level
        removed = ladder.removed(levels)
        assert int(removed.sum()) == removed_indices
        assert bool(removed[own][order[:removed_indices]].all())
    assert float(ladder.blocks(scores)[at, 0]) == pytest.approx(float(scores[own][order[:4]].sum()))
