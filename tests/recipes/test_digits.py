"""The embedded default: its data, its network, and the weights that are committed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from edgeprune.config import Recipe
from edgeprune.model import data, network
from edgeprune.model.data import Data
from edgeprune.training import evaluate


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return Recipe.load("digits")


@pytest.fixture(scope="module")
def digits(recipe: Recipe) -> Data:
    return data.load(recipe.data.function, base=recipe.folder, folder=recipe.data_dir)


def _bytes(splits: Data) -> Iterator[bytes]:
    for split in splits.splits().values():
        for inputs, _ in split.batches(1):
            yield inputs.numpy().tobytes()


def test_the_splits_are_stratified_and_share_no_image(digits: Data) -> None:
    assert {role: len(split) for role, split in digits.splits().items()} == {
        "train": 1083, "validation": 359, "test": 355,
    }  # fmt: skip
    for split in digits.splits().values():
        counts = torch.bincount(torch.cat([labels for _, labels in split.batches(256)]), minlength=10)
        assert int(counts.max() - counts.min()) <= 0.2 * len(split) / 10
    images = list(_bytes(digits))
    assert len(images) == len(set(images)) == 1797
    assert digits.classes == tuple("0123456789")


def test_the_network_takes_the_recipes_input_and_fits_the_data(recipe: Recipe, digits: Data) -> None:
    model = network.load_model(recipe.model.factory, recipe.weights_path, base=recipe.folder)
    data.check(digits, network.check_forward(model, network.example_inputs(recipe.model.input)))
    assert 30_000 < sum(parameter.numel() for parameter in model.parameters()) < 100_000


def test_the_committed_weights_are_at_least_98_percent_right(recipe: Recipe, digits: Data) -> None:
    model = network.load_model(recipe.model.factory, recipe.weights_path, base=recipe.folder)
    assert digits.test is not None
    assert evaluate(model, digits.test).accuracy >= 0.98


def test_training_images_are_shifted_and_the_others_are_not(digits: Data) -> None:
    plain = torch.cat([inputs for inputs, _ in digits.train.batches(2000)])
    augmented = torch.cat([inputs for inputs, _ in digits.train.batches(1083, rng_key=(0, 1))])
    available = {image.numpy().tobytes() for image in plain}
    assert sum(image.numpy().tobytes() not in available for image in augmented) > 500
