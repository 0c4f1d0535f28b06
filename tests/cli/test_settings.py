"""``--set`` reads files from the working folder, as the options of their own do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeprune.cli.recipe_options import RecipeOptions, chosen_recipe


@pytest.mark.parametrize(
    ("settings", "key", "expected"),
    [
        ({"prune.criterion": "mine.py:C"}, "prune.criterion", "{here}/mine.py:C"),
        ({"prune": {"criterion": "sub/mine.py:C"}}, "prune.criterion", "{here}/sub/mine.py:C"),
        ({"prune.criterion": "l2"}, "prune.criterion", "l2"),
        ({"prune.selection": "mine.py:S"}, "prune.selection", "{here}/mine.py:S"),
        ({"schedule.name": "mine.py:S"}, "schedule.name", "{here}/mine.py:S"),
        ({"training.loss": "mine.py:f"}, "training.loss", "{here}/mine.py:f"),
        ({"training.loss": "package.module:f"}, "training.loss", "package.module:f"),
        ({"training.metric": "../mine.py:f"}, "training.metric", "{parent}/mine.py:f"),
        ({"model.weights": "w.pt"}, "model.weights", "{here}/w.pt"),
        ({"data.dir": "photos"}, "data.dir", "{here}/photos"),
        ({"data.dir": "${PHOTOS:-photos}"}, "data.dir", "${PHOTOS:-photos}"),
        ({"data.function": "d.py:load"}, "data.function", "{here}/d.py:load"),
    ],
)
def test_files_are_relative_to_the_working_folder(
    settings: dict[str, Any], key: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = chosen_recipe("digits", RecipeOptions(settings=settings))
    table, _, name = key.partition(".")
    assert getattr(getattr(recipe, table), name) == expected.replace("{here}", str(tmp_path)).replace(
        "{parent}", str(tmp_path.parent)
    )


def test_options_set_the_keys_of_the_recipe_that_have_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = RecipeOptions(criterion="l1", selection="mine.py:S", schedule="gradual", epochs=3, seed=7)
    recipe = chosen_recipe("digits", options)
    assert (recipe.prune.criterion, recipe.prune.selection) == ("l1", f"{tmp_path}/mine.py:S")
    assert (recipe.schedule.name, recipe.training.epochs, recipe.seed) == ("gradual", 3, 7)
