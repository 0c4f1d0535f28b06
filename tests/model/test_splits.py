"""Batches: in order, or shuffled and augmented as a pure function of the key."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from edgeprune.errors import DataError
from edgeprune.model.batches import training_steps
from edgeprune.model.dataset_split import DatasetSplit
from edgeprune.model.splits import Augment, Split, TensorSplit, some

_COUNT = 50


def _images() -> Tensor:
    return torch.arange(_COUNT * 2 * 4 * 6).reshape(_COUNT, 2, 4, 6).remainder(251).to(torch.uint8)


def _tensor_split() -> TensorSplit:
    return TensorSplit(
        _images(), torch.arange(_COUNT), mean=[0.5, 0.25], std=[0.5, 0.25], augment=Augment(crop_padding=2, flip=True)
    )


class _Noisy(Dataset[tuple[np.ndarray, int]]):
    """A user's data set whose transform draws from every global generator."""

    def __len__(self) -> int:
        return _COUNT

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        noise = random.random() + np.random.rand() + float(torch.rand(()))  # noqa: NPY002
        return np.full((3,), index + noise), index


_SPLITS = pytest.mark.parametrize("split", [_tensor_split(), DatasetSplit(_Noisy())], ids=["tensor", "dataset"])


def _equal(one: list[tuple[Tensor, Tensor]], other: list[tuple[Tensor, Tensor]]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a, b) for left, right in zip(one, other, strict=True) for a, b in zip(left, right, strict=True)
    )


@_SPLITS
def test_samples_are_in_order_without_a_key(split: Split) -> None:
    labels = torch.cat([labels for _, labels in split.batches(16)])
    assert labels.tolist() == list(range(_COUNT))
    assert labels.dtype == torch.int64


@_SPLITS
def test_subset_has_unchanged_samples(split: Split) -> None:
    few = some(split, 20, key=(3,))
    (labels,) = (labels for _, labels in few.batches(32))
    assert (len(few), len(set(labels.tolist()))) == (20, 20)
    assert labels.tolist() == next(iter(some(split, 20, key=(3,)).batches(32)))[1].tolist()
    assert labels.tolist() != next(iter(some(split, 20, key=(4,)).batches(32)))[1].tolist()
    if isinstance(split, TensorSplit):
        whole, _ = next(iter(split.batches(_COUNT)))
        for passed in (few.batches(32), few.batches(32, rng_key=(0,))):  # never augmented
            inputs, which = next(iter(passed))
            assert torch.equal(inputs, whole[which])
    assert some(split, _COUNT, key=(3,)) is split


def test_own_split_is_read_whole() -> None:
    class Own:
        def __len__(self) -> int:
            return _COUNT

        def batches(self, *_: object, **__: object) -> list[tuple[Tensor, Tensor]]:
            return []

    own = Own()
    assert some(own, 20, key=(0,)) is own


@_SPLITS
def test_with_a_key_samples_are_shuffled_and_the_last_small_batch_is_left_out(split: Split) -> None:
    batches = list(split.batches(16, rng_key=(0, 1)))
    labels = torch.cat([labels for _, labels in batches]).tolist()
    assert [len(labels) for _, labels in batches] == [16] * training_steps(_COUNT, 16)
    assert len(set(labels)) == 48
    assert labels != sorted(labels)


@_SPLITS
def test_a_pass_is_a_pure_function_of_its_key(split: Split) -> None:
    first = list(split.batches(16, rng_key=(3, 1)))
    torch.manual_seed(99)
    random.seed(99)
    assert _equal(first, list(split.batches(16, rng_key=(3, 1))))
    assert not _equal(first, list(split.batches(16, rng_key=(3, 2))))
    assert not _equal(first, list(split.batches(16, rng_key=(4, 1))))


@_SPLITS
@pytest.mark.parametrize("rng_key", [None, (3, 1)])
def test_a_pass_can_begin_at_any_step(split: Split, rng_key: tuple[int, ...] | None) -> None:
    assert _equal(list(split.batches(16, rng_key=rng_key))[2:], list(split.batches(16, rng_key=rng_key, start=2)))


@_SPLITS
def test_global_generators_are_left_alone(split: Split) -> None:
    before = torch.random.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    list(split.batches(16, rng_key=(0, 0)))
    after = torch.random.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_split_smaller_than_a_batch_has_one_batch() -> None:
    split = TensorSplit(torch.rand(5, 3), torch.zeros(5, dtype=torch.int64))
    assert [len(labels) for _, labels in split.batches(8, rng_key=(0,))] == [5]
    assert training_steps(5, 8) == 1


def test_uint8_images_are_scaled_and_normalised() -> None:
    inputs, _ = next(_tensor_split().batches(_COUNT))
    scaled = _images().float() / 255
    want = torch.stack([(scaled[:, 0] - 0.5) / 0.5, (scaled[:, 1] - 0.25) / 0.25], dim=1)
    torch.testing.assert_close(inputs, want)


def test_augmentation_is_a_shift_over_black_and_a_mirror() -> None:
    images = _images()
    changed = Augment(crop_padding=2, flip=True)(images, torch.Generator().manual_seed(0))
    calls = set()
    for before, after in zip(images, changed, strict=True):
        padded = torch.nn.functional.pad(before, (2, 2, 2, 2))
        matches = {
            (top, remaining, flip)
            for top in range(5)
            for remaining in range(5)
            for flip in (False, True)
            if torch.equal(after, _crop(padded, top, remaining, flip))
        }
        assert matches
        calls |= matches
    assert {flip for _, _, flip in calls} == {False, True}
    assert {top for top, _, _ in calls} == set(range(5)) == {remaining for _, remaining, _ in calls}


def _crop(padded: Tensor, top: int, remaining: int, flip: bool) -> Tensor:
    crop = padded[:, top : top + 4, remaining : remaining + 6]
    return crop.flip(2) if flip else crop


def test_no_augmentation_changes_nothing() -> None:
    assert torch.equal(Augment()(_images(), torch.Generator()), _images())


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (torch.zeros(3, 2, dtype=torch.int64), torch.zeros(3, dtype=torch.int64), r"torch\.int64"),
        (torch.zeros(3, 2), torch.zeros(2, dtype=torch.int64), r"\(3, \.\.\.\).*torch\.int64 .*\(2,\)"),
        (torch.zeros(3, 2), torch.zeros(3), r"integers.*torch\.float32"),
        (torch.tensor([[0.0], [float("nan")]]), torch.zeros(2, dtype=torch.int64), r"1 of 2 samples.*first.* 1$"),
    ],
)
def test_invalid_tensors_are_refused(images: Tensor, labels: Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        TensorSplit(images, labels)


def test_a_shuffled_pass_can_go_without_augmentation() -> None:
    plain, augmented = (next(_tensor_split().batches(16, rng_key=(0, 1), augment=augment)) for augment in (False, True))
    whole, _ = next(_tensor_split().batches(_COUNT))
    assert torch.equal(plain[1], augmented[1])
    assert torch.equal(plain[0], whole[plain[1]])
    assert not torch.equal(plain[0], augmented[0])


def test_augmentation_needs_images() -> None:
    with pytest.raises(DataError, match=r"\(N, C, H, W\).*\(3, 2\)"):
        TensorSplit(torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64), augment=Augment(flip=True))


def test_worker_processes_give_the_same_batches() -> None:
    inline = list(DatasetSplit(_Noisy()).batches(16, rng_key=(0, 1)))
    assert _equal(inline, list(DatasetSplit(_Noisy(), workers=2).batches(16, rng_key=(0, 1))))


def test_batches_of_a_tensor_data_set_are_read_at_once_and_equal_those_of_its_samples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images, labels = torch.randn(30, 4, 3, 3).to(memory_format=torch.channels_last), torch.randint(5, (30, 2))
    dataset = TensorDataset(images, labels)
    one_by_one = list(DatasetSplit([*dataset]).batches(8, rng_key=(3,)))  # type: ignore[arg-type]
    monkeypatch.delattr(TensorDataset, "__getitem__")
    assert _equal(list(DatasetSplit(dataset).batches(8, rng_key=(3,))), one_by_one)


class _Samples(Dataset[object]):
    def __init__(self, *samples: object) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> object:
        if isinstance(self.samples[index], Exception):
            raise self.samples[index]
        return self.samples[index]


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([torch.zeros(2)], r"_Samples .*\(input, label\), got Tensor"),
        ([("text", 0)], "_Samples .*got .*int64"),
        ([(object(), 0)], "_Samples .*object"),
        ([(torch.zeros(2), 0), (torch.zeros(3), 0)], "_Samples .*size"),
        ([(torch.zeros(2), 0.5)], r"Tensor and torch\.float64"),
        ([(torch.zeros(2, dtype=torch.uint8), 0)], r"float, got torch\.uint8"),
        (
            [(torch.zeros(2), 0), OSError("no such")],
            "sample 1 of _Samples .*OSError: no such",
        ),
    ],
)
def test_invalid_samples_are_refused(samples: list[object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(DatasetSplit(_Samples(*samples)).batches(4))


def test_an_iterable_is_no_map_style_data_set() -> None:
    with pytest.raises(DataError, match="list_iterator"):
        DatasetSplit(iter([1, 2]))  # type: ignore[arg-type]
