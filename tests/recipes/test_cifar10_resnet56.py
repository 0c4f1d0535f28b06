"""The real case: network and loading, with images made here; and with the true ones where they are at hand."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from edgeprune.config import Recipe
from edgeprune.errors import DataError
from edgeprune.model import data, network
from edgeprune.model.data import Data
from edgeprune.model.user_objects import load_object

_HELD_OUT = 5000


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return Recipe.load("cifar10-resnet56")


def _load(recipe: Recipe, folder: Path | None) -> Data:
    return data.load(recipe.data.function, base=recipe.folder, folder=folder)


def _archive(path: Path, count: int, **changes: Any) -> None:
    """Image i is plain, of red level i % 250."""
    files = []
    for level in range(250):
        buffer = io.BytesIO()
        Image.new("RGB", (32, 32), (level, 0, 0)).save(buffer, "JPEG", quality=95)
        files.append(buffer.getvalue())
    content = [files[index % 250] for index in range(count)]
    arrays = {
        "jpeg": np.frombuffer(b"".join(content), np.uint8),
        "offsets": np.cumsum([0] + [len(file) for file in content]),
        "labels": (np.arange(count) % 10).astype(np.uint8),
        "classes": np.array([f"class {label}" for label in range(10)]),
    }
    remaining = {name: array for name, array in {**arrays, **changes}.items() if array is not None}
    np.savez(path, **remaining)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cifar10")
    _archive(folder / "train.npz", _HELD_OUT + 7)
    _archive(folder / "test.npz", 4)
    return folder


def test_parameters_have_the_published_names_and_number(recipe: Recipe) -> None:
    model = network.load_model(recipe.model.factory, None, base=recipe.folder)
    names = {re.sub(r"\d+(?=\.(conv|bn))", "i", name) for name in model.state_dict()}
    blocks = {f"layer{stage}.i.{kind}{index}" for stage in (1, 2, 3) for kind in ("conv", "bn") for index in (1, 2)}
    assert {name.rpartition(".")[0] for name in names} == {"conv1", "bn1", "linear"} | blocks
    assert sum(parameter.numel() for parameter in model.parameters()) == 853_018
    assert network.check_forward(model, network.example_inputs(recipe.model.input)).shape == (1, 10)


def test_a_shortcut_that_halves_takes_every_second_pixel_and_pads_both_sides(recipe: Recipe) -> None:
    block = load_object("model.py:Block", base=recipe.folder)(16, 32, 2).eval()
    for parameter in block.bn2.parameters():
        torch.nn.init.zeros_(parameter)  # nothing beside the shortcut
    x = torch.rand(2, 16, 8, 8)
    y = block(x)
    assert torch.equal(y[:, 8:24], x[:, :, ::2, ::2])
    assert not y[:, :8].any()
    assert not y[:, 24:].any()


def test_the_last_training_images_are_held_out(recipe: Recipe, folder: Path) -> None:
    splits = _load(recipe, folder)
    assert {role: len(split) for role, split in splits.splits().items()} == {
        "train": 7, "validation": _HELD_OUT, "test": 4,
    }  # fmt: skip
    inputs, labels = next(splits.validation.batches(3))
    red = inputs[:, 0, 16, 16] * 0.229 + 0.485
    assert torch.round(red * 255).tolist() == pytest.approx([7, 8, 9], abs=2)
    assert labels.tolist() == [7, 8, 9]
    assert splits.classes[3] == "class 3"


def test_images_do_not_depend_on_the_order_of_access(recipe: Recipe, folder: Path) -> None:
    whole = next(_load(recipe, folder).train.batches(7))
    splits = _load(recipe, folder)
    list(splits.train.batches(4, rng_key=(0, 1)))
    assert torch.equal(next(splits.train.batches(7))[0], whole[0])


def test_missing_folder_error_names_the_expected_files(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent/train\.npz .*--data-dir.*EDGEPRUNE_DATA.*offsets"):
        _load(recipe, tmp_path / "absent")


def test_the_environment_names_the_default_folder(
    recipe: Recipe, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cifar10").symlink_to(folder)
    monkeypatch.setenv("EDGEPRUNE_DATA", str(tmp_path))
    assert len(_load(recipe, None).train) == 7


def test_the_default_folder_is_found_above_the_working_folder(
    recipe: Recipe, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "cifar10").symlink_to(folder)
    copy = tmp_path / "recipe"  # away from a true data folder above the repository
    copy.mkdir()
    (copy / "data.py").write_bytes((recipe.folder / "data.py").read_bytes())
    (tmp_path / "work" / "deep").mkdir(parents=True)
    monkeypatch.delenv("EDGEPRUNE_DATA", raising=False)
    monkeypatch.chdir(tmp_path / "work" / "deep")
    assert len(data.load("data.py:load", base=copy).train) == 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": None}, r"test\.npz: .*labels"),
        ({"labels": np.zeros(3, np.uint8)}, r"test\.npz: 5 offsets, 3 labels"),
        ({"offsets": np.array([0, 10, 20, 30, 10**9])}, r"test\.npz: 5 offsets"),
    ],
)
def test_arrays_that_do_not_fit_are_named(
    recipe: Recipe, folder: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    (tmp_path / "train.npz").symlink_to(folder / "train.npz")
    _archive(tmp_path / "test.npz", 4, **changes)
    with pytest.raises(DataError, match=message):
        _load(recipe, tmp_path)


def test_a_file_that_is_no_archive_is_named(recipe: Recipe, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "train.npz").write_bytes(b"nonsense")
    (tmp_path / "test.npz").symlink_to(folder / "test.npz")
    with pytest.raises(DataError, match=r"train\.npz"):
        _load(recipe, tmp_path)


def test_too_few_images_for_validation_are_refused(recipe: Recipe, folder: Path, tmp_path: Path) -> None:
    _archive(tmp_path / "train.npz", 10)
    (tmp_path / "test.npz").symlink_to(folder / "test.npz")
    with pytest.raises(DataError, match=r"train\.npz: .*\b5000\b.* 10$"):
        _load(recipe, tmp_path)


def test_an_image_that_is_no_jpeg_is_named(recipe: Recipe, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "train.npz").symlink_to(folder / "train.npz")
    _archive(tmp_path / "test.npz", 4, jpeg=np.zeros(10**6, np.uint8))
    splits = _load(recipe, tmp_path)
    assert splits.test is not None
    with pytest.raises(DataError, match=r"test\.npz: image 0 .*JPEG"):
        next(splits.test.batches(4))


def test_the_trained_network_is_right_on_the_true_images(recipe: Recipe, shared_data: Path) -> None:
    folder = shared_data / "cifar10"
    splits = _load(recipe, folder)
    assert {role: len(split) for role, split in splits.splits().items()} == {
        "train": 45_000, "validation": 5000, "test": 5000,
    }  # fmt: skip
    model = network.load_model(recipe.model.factory, folder / "resnet56.safetensors", base=recipe.folder)
    inputs, labels = next(splits.validation.batches(500))
    with torch.inference_mode():
        accuracy = float((model(inputs).argmax(1) == labels).float().mean())
    assert accuracy > 0.87
