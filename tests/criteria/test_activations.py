"""What criteria learn of activations: the same in one batch or in many, and what they cannot learn from."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from edgeprune.criteria import Network, create
from edgeprune.errors import InputError
from edgeprune.graph import capture, units_of
from edgeprune.statistics import Samples
from edgeprune.statistics.accumulators import views_of
from edgeprune.statistics.covariance import Covariance
from edgeprune.statistics.histogram import Histogram, Range
from edgeprune.statistics.moments import ClassMoments, Moments
from tests.networks.collection import make


@pytest.fixture
def values() -> Tensor:
    """(samples, units, positions), far from zero beside their spread."""
    return 100 + torch.randn(30, 4, 6, generator=torch.Generator().manual_seed(0))


def test_moments_are_those_of_all_batches_together(values: Tensor) -> None:
    result = Moments()
    for part in values.split([7, 1, 22]):
        result.add(part)
    whole = values.double().movedim(1, 0).flatten(1)
    torch.testing.assert_close(result.mean, whole.mean(1))
    torch.testing.assert_close(result.mean_size, whole.abs().mean(1))
    torch.testing.assert_close(result.std, whole.std(1, correction=0), rtol=1e-5, atol=0)


def test_covariance_is_that_of_all_batches_together(values: Tensor) -> None:
    result = Covariance()
    for part in values.split([7, 1, 22]):
        result.add(part)
    whole = values.double().movedim(1, 0).flatten(1)
    torch.testing.assert_close(result.covariance, torch.cov(whole, correction=0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(result.second_moment, whole @ whole.T / whole.shape[1])


def test_histogram_has_every_sample_once(values: Tensor) -> None:
    values[:, 0] = 100.0  # says the same of all samples
    values[:, 3] = values[:, 3] * 50  # sets the width of the bins
    available = Range()
    for part in values.split(7):
        available.add(part)
    result = Histogram(available, 10)
    for part in values.split(7):
        result.add(part)
    assert result.counts.sum(1).tolist() == [30] * 4
    assert result.entropy[0] == 0
    assert result.entropy[3] > result.entropy[1:3].max()


def test_scatter_within_and_between_adds_up(values: Tensor) -> None:
    labels = torch.arange(30) % 3
    labels[14:21] = -1  # the third part has none that counts
    labels[5] = -1
    result = ClassMoments()
    for part, classes in zip(values.split(7), labels.split(7), strict=True):
        result.labels = classes
        result.add(part)
    values, labels = values[labels >= 0], labels[labels >= 0]
    means = values.double().mean(2)
    total = (means - means.mean(0)).square().sum(0)
    within = sum((means[labels == c] - means[labels == c].mean(0)).square().sum(0) for c in range(3))
    torch.testing.assert_close(result.within, within, rtol=1e-4, atol=0)
    torch.testing.assert_close(result.between, total - within, rtol=1e-4, atol=0)


def test_indices_of_one_unit_are_its_positions() -> None:
    model, example = make("flatten-into-linear")
    units = units_of(capture(model, example))
    view = next(view for view in views_of(units) if view.indices is not None)
    width = view.indices.shape[1]  # type: ignore[union-attr]
    value = torch.arange(len(view.site.units)).reshape(1, -1, 1)
    calls = view.values(value)[0].long()
    assert calls.shape == (len(view.units), width)
    assert torch.equal(view.site.units[calls], view.units[:, None].expand(-1, width))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.zeros(2), "torch.float32"),
        (torch.zeros(2, 1, dtype=torch.long), r"\(2, 1\)"),
        (torch.tensor([0, -1]), "got -1"),
        (torch.tensor([4, 4]), r"\[4\]"),
        (torch.tensor([4, -100]), r"\[4\]"),
    ],
)
def test_lda_without_classes_is_an_error(labels: Tensor, message: str) -> None:
    model, example = make("zero-padded-residual")
    samples = Samples([(example[0], labels)])
    network = Network(model, units_of(capture(model, example)), 0, samples)
    with pytest.raises(InputError, match=message):
        create("lda", data=True).score(network)


@pytest.mark.parametrize("criterion", ["cosine", "correlation", "activation_similarity"])
def test_scores_of_normalized_activations_ignore_their_scale(criterion: str) -> None:
    model, example = make("zero-padded-residual")
    units = units_of(capture(model, example))
    images = torch.randn(8, *example[0].shape[1:], generator=torch.Generator().manual_seed(2))
    samples = Samples([(part, torch.zeros(len(part))) for part in images.split(len(example[0]))])
    options = {"weighted": False, "normalize": "none", "aggregate": "max"}
    scores = create(criterion, options, data=True).score(Network(model, units, 0, samples))
    assert float(scores.max()) == pytest.approx(1)
    with pytest.raises(InputError, match="weighted"):
        create(criterion, {"weighted": 1}, data=True)
