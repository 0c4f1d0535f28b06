"""A user's data function, and what is found out about its data before any work is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import TensorDataset

from edgeprune.errors import DataError, ModelError
from edgeprune.model import data
from edgeprune.model.data import Data, TensorSplit

_LOGITS = torch.zeros(1, 3)


def _split(*labels: int) -> TensorSplit:
    return TensorSplit(torch.zeros(len(labels), 4), torch.tensor(labels, dtype=torch.int64))


def _dataset(*labels: int, fill: float = 0.0) -> TensorDataset:
    return TensorDataset(torch.full((len(labels), 4), fill), torch.tensor(labels))


def test_a_dict_of_users_data_sets_is_adapted() -> None:
    adapted = data.as_data({"train": _dataset(0, 1, 2), "validation": _split(0, 1), "test": _dataset(2)})
    assert {role: len(split) for role, split in adapted.splits().items()} == {"train": 3, "validation": 2, "test": 1}
    data.check(adapted, _LOGITS)


def test_test_split_is_optional_and_class_names_are_copied() -> None:
    train = _dataset(0, 1)
    train.classes = ["cat", "dog"]
    adapted = data.as_data({"train": train, "validation": _dataset(0), "test": None})
    assert adapted.test is None
    assert adapted.classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("loaded", "message"),
    [
        ([1, 2], "train, validation, test.*got list"),
        ({"train": _dataset(0)}, "validation.*got train$"),
        ({"train": _dataset(0), "val": _dataset(0)}, "validation.*got train, val$"),
        ({"train": _dataset(0), "validation": iter([])}, "list_iterator"),
    ],
)
def test_other_types_are_refused(loaded: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        data.as_data(loaded)


def _function(tmp_path: Path, code: str, folder: Path | None = None) -> Data:
    (tmp_path / "mine.py").write_text(code)
    return data.load("mine.py:load", base=tmp_path, folder=folder)


_CODE = """
import torch
from edgeprune.model.data import Data, TensorSplit
def load({parameters}):
    split = TensorSplit(torch.zeros({count}, 4), torch.zeros({count}, dtype=torch.int64))
    return Data(train=split, validation=split)
"""


def test_the_folder_is_handed_to_the_function(tmp_path: Path) -> None:
    code = _CODE.format(parameters="folder=None", count="2 if folder is None else len(list(folder.iterdir()))")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "sample").touch()
    assert len(_function(tmp_path, code).train) == 2
    assert len(_function(tmp_path, code, folder=folder).train) == 1


def test_a_function_without_a_folder_refuses_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mine\.py:load .*too many positional"):
        _function(tmp_path, _CODE.format(parameters="", count=2), folder=tmp_path)


def test_function_without_its_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.dir.*'folder'"):
        _function(tmp_path, _CODE.format(parameters="folder", count=2))


def test_a_function_that_fails_names_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mine\.py:load.*KeyError.*'x'.*mine\.py.*2"):
        _function(tmp_path, "def load():\n    return {}['x']\n")


def test_an_empty_split_is_named() -> None:
    with pytest.raises(DataError, match="validation split"):
        data.check(Data(train=_split(0), validation=_split()), _LOGITS)


@pytest.mark.parametrize("label", [-1, 3])
@pytest.mark.parametrize("make", [_split, lambda *labels: data.as_data(dict.fromkeys(
    ("train", "validation"), _dataset(*labels))).train])  # fmt: skip
def test_labels_out_of_range_are_named(label: int, make: Any) -> None:
    low, high = min(label, 0), max(label, 2)
    message = rf"train split: 1 .*{low} to {high},.* 0 to 2.* 1$"
    with pytest.raises(DataError, match=message):
        data.check(Data(train=make(0, label, 2), validation=_split(0)), _LOGITS)


def test_every_label_of_a_tensor_split_is_looked_at() -> None:
    with pytest.raises(DataError, match=r" 7,.* 1000$"):
        data.check(Data(train=_split(*[0] * 1000, 7), validation=_split(0)), _LOGITS)


def test_samples_that_are_not_finite_are_named() -> None:
    bad = data.as_data({"train": _dataset(0, 1), "validation": _dataset(0, 1, fill=float("nan"))})
    with pytest.raises(DataError, match=r"validation split: 2 of 2 .*NaN"):
        data.check(bad, _LOGITS)


@pytest.mark.parametrize("outputs", [torch.zeros(3), [torch.zeros(1, 3)]])
def test_outputs_other_than_logits_are_refused(outputs: Any) -> None:
    with pytest.raises(ModelError, match=r"\(N, classes, \.\.\.\), got "):
        data.check(Data(train=_split(0), validation=_split(0)), outputs)


def _dense(*shape: int, fill: int = 2) -> list[Data]:
    """Data with labels of that shape, as tensors and as a data set of the user's own."""
    inputs, labels = torch.zeros(shape[0], 4), torch.full(shape, fill)
    splits = TensorSplit(inputs, labels), TensorDataset(inputs, labels)
    return [data.as_data({"train": split, "validation": split}) for split in splits]


@pytest.mark.parametrize("shape", [(5, 8, 6), (5, 8), (5, 8, 6, 2)])
def test_outputs_with_positions_take_a_label_for_each(shape: tuple[int, ...]) -> None:
    for one in _dense(*shape):
        data.check(one, torch.zeros(1, 3, *shape[1:]))


@pytest.mark.parametrize("shape", [(5, 8, 7), (5, 1, 8, 6), (5,)])
def test_labels_of_another_shape_than_the_outputs_are_refused(shape: tuple[int, ...]) -> None:
    for one in _dense(*shape):
        with pytest.raises(DataError) as refused:
            data.check(one, torch.zeros(1, 3, 8, 6))
        for part in ("(5, 8, 6)", str(shape), "the train split", "training.loss"):
            assert part in str(refused.value)


def test_ignored_labels_are_accepted_and_other_negative_ones_located() -> None:
    for one in _dense(5, 8, 6, fill=-100):
        data.check(one, torch.zeros(1, 3, 8, 6))
    for one in _dense(5, 8, 6, fill=-1):
        with pytest.raises(DataError, match=r"240 .*-1 to -1,.* 0 to 2 .*-100.* 0, 0, 0$"):
            data.check(one, torch.zeros(1, 3, 8, 6))


def test_augmentation_of_images_with_a_label_for_each_pixel_is_refused() -> None:
    images, labels = torch.zeros(2, 3, 8, 8), torch.zeros(2, 8, 8, dtype=torch.int64)
    with pytest.raises(DataError, match=r"augment .*\(2, 8, 8\)"):
        TensorSplit(images, labels, augment=data.Augment(flip=True))
