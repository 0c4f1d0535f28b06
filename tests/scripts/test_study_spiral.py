"""The commutation study: what it prunes, what must agree exactly, and that a short run gives a page with pictures."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from scripts import study_spiral
from scripts.study_spiral import (
    CASES,
    DENSE,
    HIDDEN_LAYERS,
    PATHS,
    RETRAINED,
    WEIGHTS,
    A,
    B,
    Case,
    Points,
    Study,
    agreement,
    correlation,
    decide,
    measure,
    network,
    prune,
    spiral,
    study,
    train,
    weights,
)


@pytest.fixture(scope="module")
def short() -> Study:
    return study(0, steps=3)


@pytest.fixture(scope="module")
def untrained() -> Study:
    return study(1, steps=0)


@pytest.fixture
def points() -> Points:
    return spiral(200, 0, 0, 0)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _shapes(model: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(model.state_dict()[name].shape) for name in WEIGHTS]


def _same(one: nn.Module, other: nn.Module) -> bool:
    left, right = one.state_dict(), other.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_arms_are_half_a_turn_apart_and_points_are_drawn_by_the_key() -> None:
    points, same, other = spiral(400, 0, 0, 0), spiral(400, 0, 0, 0), spiral(400, 0, 0, 1)
    assert torch.equal(points.inputs, same.inputs)
    assert not torch.equal(points.inputs, other.inputs)
    assert points.labels.mean() == 0.5
    radius = points.inputs.norm(dim=1)
    angle = torch.atan2(points.inputs[:, 1], points.inputs[:, 0]) - 2 * math.pi * study_spiral.TURNS * radius
    far = radius > 0.5  # where noise turns a point the least
    same_arm = (angle - math.pi * points.labels[:, 0])[far].cos() > 0
    assert same_arm.double().mean() > 0.99


@pytest.mark.parametrize("case", CASES, ids=str)
def test_exactly_half_of_each_hidden_layer_is_left(short: Study, case: Case) -> None:
    assert all(_shapes(model) == [(25, 2), (25, 25), (1, 25)] for model in short.pairs[case].networks.values())


def test_only_the_requested_hidden_layer_is_pruned(short: Study) -> None:
    for (_, layer), model in short.single.items():
        first = layer == HIDDEN_LAYERS[0]
        assert _shapes(model) == ([(25, 2), (50, 25), (1, 50)] if first else [(50, 2), (25, 50), (1, 25)])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_without_training_both_paths_are_one(untrained: Study, case: Case) -> None:
    pair = untrained.pairs[case]
    assert all(_same(pair.networks[path], pair.networks[A]) for path in PATHS)
    row = measure(untrained)
    assert row[f"{case}: {A}, B: agreement"] == 100
    assert all(row[f"{case}: {A}, B: r {layer}"] == pytest.approx(1) for layer in (1, 2, 3))
    assert math.isnan(row[f"{case}: {A}, B: change 1"])


def test_training_parts_the_paths(short: Study) -> None:
    pair = short.pairs[CASES[0]]
    assert not _same(pair.networks[A], pair.networks[B])
    assert not _same(pair.networks[A], pair.networks[RETRAINED])


@pytest.mark.parametrize("compensated", [False, True])
def test_overlap_of_the_units_that_both_paths_keep(short: Study, compensated: bool) -> None:
    """Random picks the same, informed what A keeps; compensation changes no choice."""
    for case in CASES:
        pair = short.pairs[case]
        if case.criterion == "random" or case.informed:
            assert pair.plan_a.kept_indices.keys() == pair.plan_b.kept_indices.keys()
            for name, dims in pair.plan_a.kept_indices.items():
                assert all(torch.equal(index, pair.plan_b.kept_indices[name][dim]) for dim, index in dims.items())
        other = short.pairs[Case(case.criterion, case.informed, compensated)]
        assert torch.equal(pair.plan_b.kept_indices[WEIGHTS[0]][0], other.plan_b.kept_indices[WEIGHTS[0]][0])


def _with_constant_units() -> tuple[nn.Sequential, Tensor]:
    """A network of which half of each hidden layer does not vary, and gives much; which units do vary."""
    model = network(50, 0)
    constant = torch.arange(50) % 2 == 0
    with torch.no_grad():
        for name in HIDDEN_LAYERS:
            layer = model.get_submodule(name)
            assert isinstance(layer, nn.Linear)
            layer.weight[constant] = 0
            layer.bias[constant] = 1.5
            # An untrained unit may be silent everywhere, and so be constant as well.
            layer.bias[~constant] = 3
    return model, (~constant).nonzero()[:, 0]


def test_removing_constant_units_with_compensation_leaves_the_outputs(points: Points) -> None:
    model, varying = _with_constant_units()
    dense = decide(model, points.inputs)
    pruned = prune(model, points, "activation_std", compensated=True, seed=0)
    assert all(torch.equal(pruned.plan.kept_indices[name][0], varying) for name in WEIGHTS[:2])
    torch.testing.assert_close(decide(pruned.model, points.inputs), dense, rtol=0, atol=1e-5)
    without = prune(model, points, "activation_std", compensated=False, seed=0)
    assert (decide(without.model, points.inputs) - dense).abs().min() > 0.1


def test_mean_of_removed_units_is_added_to_the_bias(points: Points) -> None:
    """``b_j += sum over removed i of mean(x_i) w_ij``, in the layer behind the first that is pruned."""
    model = network(50, 0)
    layers = dict(model.named_children())
    first, second = layers["0"], layers["2"]
    assert isinstance(first, nn.Linear)
    assert isinstance(second, nn.Linear)
    pruned = prune(model, points, "random", compensated=True, seed=3, layers=["0"])
    removed = torch.ones(50, dtype=torch.bool)
    removed[pruned.plan.kept_indices[WEIGHTS[0]][0]] = False
    with torch.no_grad():
        mean = torch.relu(first(points.inputs)).mean(0)
        expected = second.bias + second.weight[:, removed] @ mean[removed]
    torch.testing.assert_close(pruned.model.state_dict()["2.bias"], expected, rtol=0, atol=1e-5)


def test_training_depends_on_its_key_alone_and_leaves_its_argument(points: Points) -> None:
    model = network(25, 0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(5)
    one = train(model, points, 3, 0, 2, 0)
    torch.manual_seed(6)
    assert _same(one, train(model, points, 3, 0, 2, 0))
    assert not _same(one, train(model, points, 3, 0, 2, 1))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_weights_keep_their_position_in_the_dense_network(short: Study) -> None:
    pair = short.pairs[CASES[0]]  # no bias, and not trained after it was pruned: the dense weights themselves
    for placed, whole in zip(weights(pair.networks[A], pair.plan_a), weights(short.controls[DENSE]), strict=True):
        there = ~placed.isnan()
        assert torch.equal(placed[there], whole[there])
        assert 0 < there.sum() <= placed.numel() / 2


def test_correlation_uses_only_common_entries() -> None:
    one = torch.tensor([1.0, 2.0, 3.0, math.nan, 9.0])
    assert correlation(one, torch.tensor([3.0, 2.0, 1.0, 5.0, math.nan])) == pytest.approx(-1)
    assert math.isnan(correlation(one, torch.ones(5)))
    assert math.isnan(correlation(one[2:], one[2:]))


def test_agreement_is_a_share_of_the_disc() -> None:
    class Side(nn.Module):
        def __init__(self, sign: float) -> None:
            super().__init__()
            self._sign = sign

        def forward(self, inputs: Tensor) -> Tensor:
            return self._sign * inputs[:, :1] - 1e-3

    assert agreement(Side(1), Side(1)) == 100
    assert agreement(Side(1), Side(-1)) < 2  # the middle column is on neither side
    assert 49 < agreement(Side(1), Side(0)) < 51


def test_a_short_run_writes_the_page_between_its_markers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "study.md"
    page.write_text("# Title\n\n<!-- study -->\nold\n<!-- /study -->\n\nafter\n", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["study_spiral.py", "--seeds", "0", "--steps", "3", "--write", str(page)])
    study_spiral.main()
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Title\n\n<!-- study -->\n`python scripts/study_spiral.py --seeds 0 --steps 3`")
    assert text.endswith("\n<!-- /study -->\n\nafter\n")
    assert "old" not in text
    assert "nan" not in text
    assert all(str(case) in text for case in CASES)
    assert (tmp_path / "study.png").stat().st_size > 10_000
    assert (tmp_path / "study-weights.png").stat().st_size > 10_000
