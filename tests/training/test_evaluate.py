"""Accuracy and loss by hand, and what evaluation refuses."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from edgeprune.errors import DataError, ModelError
from edgeprune.model.data import DatasetSplit, TensorSplit
from edgeprune.training import evaluate


class _Identity(nn.Module):
    """Inputs are the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale


def _split(count: int = 10) -> TensorSplit:
    rng = torch.Generator().manual_seed(0)
    return TensorSplit(torch.randn(count, 3, generator=rng), torch.randint(3, (count,), generator=rng))


@pytest.mark.parametrize("batch_size", [1, 3, 10, 64])
def test_accuracy_and_loss_are_means_over_all_samples(batch_size: int) -> None:
    split = _split()
    result = evaluate(_Identity(), split, batch_size=batch_size)
    assert result.samples == 10
    assert result.accuracy == pytest.approx(float((split.images.argmax(1) == split.labels).float().mean()))
    assert result.loss == pytest.approx(float(functional.cross_entropy(split.images, split.labels)), rel=1e-5)


def test_each_label_of_a_dense_task_counts() -> None:
    rng = torch.Generator().manual_seed(0)
    maps, labels = torch.randn(6, 3, 4, 5, generator=rng), torch.randint(3, (6, 4, 5), generator=rng)
    result = evaluate(nn.Identity(), DatasetSplit(TensorDataset(maps, labels)), batch_size=4)
    assert result.samples == 6
    assert result.accuracy == pytest.approx(float((maps.argmax(1) == labels).float().mean()))
    assert result.loss == pytest.approx(float(functional.cross_entropy(maps, labels)), rel=1e-5)


def test_ignored_labels_count_neither_in_accuracy_nor_in_loss() -> None:
    rng = torch.Generator().manual_seed(0)
    for shape in ((6, 4, 5), (6,)):
        maps, labels = torch.randn(6, 3, *shape[1:], generator=rng), torch.randint(3, shape, generator=rng)
        labels[1:4] = -100  # with batches of two, one has no label that counts
        result = evaluate(nn.Identity(), DatasetSplit(TensorDataset(maps, labels)), batch_size=2)
        counted = labels != -100
        assert result.accuracy == pytest.approx(float((maps.argmax(1) == labels)[counted].float().mean()))
        assert result.loss == pytest.approx(float(functional.cross_entropy(maps, labels)), rel=1e-5)
        assert result.correct == b""
    with pytest.raises(DataError, match="-100"):
        evaluate(nn.Identity(), DatasetSplit(TensorDataset(maps, torch.full_like(labels, -100))))


def test_a_batch_with_labels_of_another_shape_is_refused() -> None:
    maps, labels = torch.randn(6, 3, 4, 5), torch.zeros(6, 5, 4, dtype=torch.int64)
    with pytest.raises(DataError, match=r"evaluation: .*\(6, 4, 5\).*\(6, 5, 4\)"):
        evaluate(nn.Identity(), DatasetSplit(TensorDataset(maps, labels)))


def test_dropout_is_disabled_and_the_mode_is_restored() -> None:
    model = nn.Sequential(_Identity(), nn.Dropout(0.9)).train()
    assert evaluate(model, _split()).loss == evaluate(_Identity(), _split()).loss
    assert model.training
    assert model[1].training


def test_a_frozen_layer_stays_frozen() -> None:
    model = nn.Sequential(_Identity(), nn.BatchNorm1d(3)).train()
    model[1].eval()
    evaluate(model, _split())
    assert model.training
    assert not model[1].training


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(DataError):
        evaluate(_Identity(), _split(0))


def test_outputs_that_are_not_finite_are_the_networks_fault() -> None:
    model = _Identity()
    nn.init.constant_(model.scale, float("nan"))
    with pytest.raises(ModelError, match="NaN"):
        evaluate(model, _split())


def test_labels_out_of_range_are_the_datas_fault() -> None:
    with pytest.raises(DataError, match=r"7 to 7,.* 0 to 2\b"):
        evaluate(_Identity(), TensorSplit(torch.zeros(2, 3), torch.tensor([7, 7])))
