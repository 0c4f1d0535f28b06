"""Recalibration gives BatchNorm layers the statistics of the data, and touches nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeprune.errors import DataError
from edgeprune.model.data import Augment, TensorSplit
from edgeprune.repair import recalibrate
from edgeprune.statistics import Samples


def _split(count: int = 64) -> TensorSplit:
    rng = torch.Generator().manual_seed(0)
    images = 5 + 2 * torch.randn(count, 3, 4, 4, generator=rng)
    # Black borders would pull the mean down: statistics must come from images as they are.
    return TensorSplit(images, torch.zeros(count, dtype=torch.int64), augment=Augment(crop_padding=4))


def _model() -> nn.Module:
    return nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.9), nn.BatchNorm2d(3, track_running_stats=False))


def test_statistics_are_those_of_the_data() -> None:
    model = _model()
    model[0].running_mean.fill_(100)
    assert recalibrate(model, Samples.of(_split(), count=64, batch_size=16)) == 1
    pixels = _split().images.transpose(0, 1).flatten(1)
    torch.testing.assert_close(model[0].running_mean, pixels.mean(1), atol=1e-4, rtol=0)
    torch.testing.assert_close(model[0].running_var, pixels.var(1), atol=0.05, rtol=0)
    assert int(model[0].num_batches_tracked) == 4


def test_modes_and_momentum_are_preserved() -> None:
    model = _model().eval()
    model[1].train()
    recalibrate(model, Samples.of(_split(), count=16))
    assert [module.training for module in model] == [False, True, False]
    assert model[0].momentum == 0.1


def test_recalibration_without_batchnorm_changes_nothing() -> None:
    assert recalibrate(nn.Sequential(nn.Linear(3, 3)), Samples.of(_split(), count=16)) == 0


def test_the_result_follows_the_seed_alone() -> None:
    results = []
    for seed in (1, 1, 2):
        model = _model()
        recalibrate(model, Samples.of(_split(), count=32, batch_size=16, seed=seed))
        results.append(model[0].running_mean.clone())
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_inputs_that_are_not_finite_are_refused() -> None:
    split = _split()
    split.images[:] = float("inf")
    with pytest.raises(DataError, match="BatchNorm"):
        recalibrate(_model(), Samples.of(split, count=16))
