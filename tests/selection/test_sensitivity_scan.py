"""Measured sensitivity is that of the networks one would get, and selections can use it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._pytree import tree_leaves, tree_map

from edgeprune.cost import cost_model, cost_of
from edgeprune.errors import InputError
from edgeprune.graph import Units, capture, shrink, units_of
from edgeprune.progress import Silent
from edgeprune.selection import Problem, create
from edgeprune.selection.sensitivity_scan import RATIOS, measure_sensitivity
from edgeprune.statistics import Samples
from tests.networks.collection import make

_NETWORKS = (
    "zero-padded-residual", "in-place-slices", "normalisations", "concat-into-grouped", "u-net", "tokens-and-positions",
    "gru",
)  # fmt: skip
_CLASSES = 5


class _Classifier(nn.Module):
    """Changes in place what an earlier layer made, also behind a dropout that hands its input on."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 16, 3, padding=1)
        self.third = nn.Conv2d(16, 8, 3)
        self.last = nn.Linear(8, _CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.first(x))
        branch = functional.dropout(x, training=self.training)
        y = self.second(branch)
        x = functional.hardtanh(branch, 0.1, 0.6, inplace=True) + y
        return self.last(functional.relu_(self.third(x)).amax((2, 3)))


def _classifier(seed: int = 0) -> tuple[nn.Module, Units, Samples]:
    torch.manual_seed(seed)
    model = _Classifier().eval()
    rng = torch.Generator().manual_seed(seed)
    images = [torch.randn(size, 3, 8, 8, generator=rng) for size in (16, 16, 9)]
    with torch.no_grad():
        batches = [(image, model(image).argmax(1).roll(i)) for i, image in enumerate(images)]
    return model, units_of(capture(model, (images[0],))), Samples(batches)


def _random(units: Units, seed: int = 0) -> Tensor:
    return torch.rand(len(units), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _distance(outputs: Any, labels: Tensor) -> Tensor:
    """A loss that any network has."""
    leaves = [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor) and leaf.is_floating_point()]
    return torch.stack([(leaf - labels.mean()).square().mean() for leaf in leaves]).sum()


def _without(units: Units, scores: Tensor, name: str, remaining: int) -> Tensor:
    """Mask of the units of one group that score lowest, but for ``remaining``."""
    group = next(group for group in units.groups if group.name == name)
    removed = torch.zeros(len(units), dtype=torch.bool)
    removed[group.start + scores[group.start : group.stop].argsort()[: len(group) - remaining]] = True
    return removed


@pytest.mark.long
@pytest.mark.parametrize("name", _NETWORKS)
def test_a_point_is_the_loss_of_the_network_without_the_units(name: str) -> None:
    model, example = make(name)
    units = units_of(capture(model, example))
    scores = _random(units)
    size = len(tree_leaves(example)[0])
    inputs = [tree_map(lambda x, at=at: x.roll(at, -1), example) for at in range(2)]
    samples = Samples([(x, torch.arange(size) + at + 0.5) for at, x in enumerate(inputs)], loss=_distance)

    measured = measure_sensitivity(units, scores, samples, ratios=(0.25, 0.5))

    assert [group.group for group in measured.groups] == [g.name for g in units.groups if g.frozen is None]
    assert measured.accuracy is None
    dense = cost_of(units, model).macs
    for group in measured.groups:
        for point in group.points:
            removed = _without(units, scores, group.group, point.remaining_units)
            rewritten, _ = shrink(model, units, removed)
            losses = []
            for at, x in enumerate(inputs):
                options, named = (x, {}) if isinstance(x, tuple) else ((), x)
                with torch.no_grad():
                    losses.append(
                        float(_distance(rewritten.model.eval()(*options, **named), torch.arange(size) + at + 0.5))
                    )
            assert point.loss == pytest.approx(sum(losses) / len(losses), rel=1e-4), (group.group, point)
            assert point.macs_removed == pytest.approx(1 - cost_of(units, model, removed).macs / dense)


def test_accuracy_of_a_map_of_classes_is_that_of_its_labels() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(2, 8, 1), nn.ReLU(), nn.Conv1d(8, 3, 1)).eval()
    inputs, labels = torch.randn(10, 2, 5), torch.randint(3, (10, 5))
    labels[:, 0] = -100
    units = units_of(capture(model, (inputs,)))
    measured = measure_sensitivity(units, _random(units), Samples([(inputs, labels)]), ratios=(0.5,))
    assert measured.accuracy == int((model(inputs).argmax(1) == labels).sum()) / 40


def test_accuracy_is_that_of_the_network_without_the_units() -> None:
    model, units, samples = _classifier()
    scores = _random(units)
    measured = measure_sensitivity(units, scores, samples)
    assert measured.samples == 41

    def accuracy(network: nn.Module) -> float:
        with torch.no_grad():
            hits = sum(int((network(x).argmax(1) == y).sum()) for x, y in samples.source)
        return hits / 41

    assert measured.accuracy == accuracy(model)
    calls = set()
    for group in measured.groups:
        assert [point.ratio for point in group.points] == list(RATIOS)
        assert [point.remaining_units for point in group.points] == [
            group.units - round(r * group.units) for r in RATIOS
        ]
        for point in group.points:
            rewritten, _ = shrink(model, units, _without(units, scores, group.group, point.remaining_units))
            assert point.accuracy == accuracy(rewritten.model.eval())
            calls.add(point.accuracy)
    assert len(calls) > 4


def test_a_group_of_dead_units_is_flat() -> None:
    model, units, samples = _classifier()
    with torch.no_grad():
        model.get_parameter("third.weight").zero_()
        model.get_parameter("third.bias").zero_()
    measured = measure_sensitivity(units, _random(units), samples)
    (dead,) = (group for group in measured.groups if group.group == "third")
    assert {(point.loss, point.accuracy) for point in dead.points} == {(measured.loss, measured.accuracy)}
    curve = measured.curves(units)[[group.name for group in units.groups].index("third")]
    assert set(curve.loss) == {0.0}
    assert curve.unit_counts == (1, 2, 4, 6, 7, 8)


def test_measurement_repeats_and_changes_nothing() -> None:
    model, units, samples = _classifier()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    inputs = [x.clone() for x, _ in samples.source]
    random = torch.get_rng_state()
    first = measure_sensitivity(units, _random(units), samples)
    assert measure_sensitivity(units, _random(units), samples) == first
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(torch.equal(x, y) for (x, _), y in zip(samples.source, inputs, strict=True))
    assert torch.equal(torch.get_rng_state(), random)


def test_sensitivity_selection_removes_units_without_loss() -> None:
    model, units, samples = _classifier()
    (third,) = (group for group in units.groups if group.name == "third")
    scores = 1 + _random(units)
    scores[third.start : third.start + 4] = 0
    with torch.no_grad():
        model.get_parameter("last.weight")[:, :4] = 0
    curves = measure_sensitivity(units, scores, samples).curves(units)
    assert [curve.unit_counts[-1] for curve in curves] == [len(group) for group in units.groups]
    idle = _without(units, scores, "third", 4)
    limit = {"macs": float(cost_of(units, model, idle).macs)}
    removed = create("sensitivity").choose(
        Problem(units, scores, {"macs": cost_model("macs", units, model)}, limit, curves=curves)
    )
    assert torch.equal(removed, idle)


def test_small_groups_keep_one_unit() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).eval()
    units = units_of(capture(model, (torch.randn(6, 4),)))
    samples = Samples([(torch.randn(6, 4), torch.arange(6) % 2)])
    measured = measure_sensitivity(units, _random(units), samples)
    assert [point.remaining_units for point in measured.groups[0].points] == [3, 2, 1, 1, 1]
    assert measured.groups[0].points[0].loss == measured.loss
    assert measured.curves(units)[0].unit_counts == (1, 2, 3)


def test_progress_counts_every_network_and_sample() -> None:
    class Bar(Silent):
        total = done = 0

        def start(self, total: int) -> None:
            self.total = total

        def advance(self, steps: int = 1, **_figures: float) -> None:
            self.done += steps

    _, units, samples = _classifier()
    bar = Bar()
    measure_sensitivity(units, _random(units), Samples(samples.source, limit=41), progress=bar)
    assert bar.done == bar.total == 41 * 5 * sum(group.frozen is None for group in units.groups)


def test_network_that_cannot_be_measured_is_refused() -> None:
    model, units, samples = _classifier()
    for ratios in ((), (0.0,), (0.5, 1.0)):
        with pytest.raises(InputError, match=r"sensitivity: ratios: .*\(0, 1\)"):
            measure_sensitivity(units, _random(units), samples, ratios=ratios)
    with torch.no_grad():
        model.get_parameter("last.bias").fill_(float("nan"))
    with pytest.raises(InputError, match=r"sensitivity: .*loss.* nan\b"):
        measure_sensitivity(units, _random(units), samples)
