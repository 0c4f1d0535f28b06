from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from edgeprune.config import Budget, Recipe
from edgeprune.config.settings_base import keys
from edgeprune.errors import RecipeError

_WHOLE = """
name = "mine"
budget.macs = 0.5
model = {factory = "model.py:build", weights = "w.safetensors", input = [1, 3, 8, 8]}
data.function = "data.py:load"
"""


def _write(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "recipe.toml"
    file.write_text(text)
    return file


def _is_refused(folder: Path, extra: str, message: str) -> None:
    """A recipe with ``extra`` in it, with a message that matches ``message``."""
    file = _write(folder, f"{extra}\n{_WHOLE}")
    with pytest.raises(RecipeError, match=message.format(file=re.escape(str(file)))):
        Recipe.load(file)


def test_a_recipe_is_read_from_its_folder_or_its_file(tmp_path: Path) -> None:
    file = _write(tmp_path / "mine", _WHOLE)
    recipe = Recipe.load(file)
    assert recipe == Recipe.load(tmp_path / "mine")
    assert recipe.folder == file.parent
    assert recipe.weights_path == file.parent / "w.safetensors"
    assert recipe.model.input == (1, 3, 8, 8)
    assert recipe.training.epochs == "auto"


def test_the_working_folder_comes_before_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path / "recipes" / "digits", _WHOLE)
    monkeypatch.chdir(tmp_path)
    assert Recipe.load("digits").name == "mine"
    assert "digits" in Recipe.names()


def test_packaged_recipes_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert {"digits", "cifar10-resnet56"} <= set(Recipe.names())
    for name in Recipe.names():
        assert Recipe.load(name).name == name


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("training.epoch = 3", r"'training\.epoch'.*{file}.*'training\.epochs'"),
        ("epochs = 3", r"'epochs'.*{file}.*'training\.epochs'"),
        ("folder = 'x'", "'folder'.*{file}.*name, description, "),
        ("training.epochs = -1", r"'training\.epochs'.*{file}.* -1,.* 0$"),
        ("training.epochs = true", r"'training\.epochs'.*{file}.*True"),
        ("training.optimizer = 'adam'", r"'training\.optimizer'.*{file}.*'adam'.*'auto', 'sgd'.*'adamw'"),
        ("training.lr = nan", r"'training\.lr'.*{file}.*nan"),
        ("budget.flops = 0.5", r"'budget\.flops'.*{file}"),
        (
            "budget.params = 1.5",
            r"'budget\.params'.*{file}.*1\.5",
        ),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_file(tmp_path: Path, extra: str, message: str) -> None:
    _is_refused(tmp_path, extra, message)


def _settings(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the keys of ``model`` that are no tables."""
    return (key for key in keys(model, prefix) if not any(other.startswith(f"{key}.") for other in keys(model, prefix)))


@pytest.mark.parametrize("value", ["2%%", [[1]], {"a": [1]}, True, -1, float("nan")], ids=str)
@pytest.mark.parametrize("key", [key for key in _settings(Recipe) if "*" not in key])
def test_invalid_value_gives_one_line(key: str, value: object) -> None:
    try:
        Recipe.load("digits").override({key: value})
    except RecipeError as error:
        message = str(error)
    else:
        return
    assert len(message.splitlines()) == 1
    assert key in message


def test_all_problems_are_in_one_error(tmp_path: Path) -> None:
    file = _write(tmp_path, "training.epoch = 3\ntraining.lr = 'high'\nname = 'a/b'\n")
    with pytest.raises(RecipeError) as caught:
        Recipe.load(file)
    text = str(caught.value)
    for part in ("'training.epoch'", "'training.lr'", "'name'", "'model'", "'budget'"):
        assert part in text


def test_broken_toml_names_file_and_line(tmp_path: Path) -> None:
    file = _write(tmp_path, "name = 'x'\nseed = = 3\n")
    with pytest.raises(RecipeError, match=r"recipe\.toml.*line 2"):
        Recipe.load(file)


def test_an_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(RecipeError, match=r"'digit'.*cifar10.*'digits'"):
        Recipe.load("digit")


def test_override_replaces_settings_by_dotted_key(tmp_path: Path) -> None:
    recipe = Recipe.load(_write(tmp_path, _WHOLE))
    changed = recipe.override({"training.epochs": 1, "seed": 7, "prune.exclude": ["head.*"]})
    assert (changed.training.epochs, changed.seed, changed.prune.exclude) == (1, 7, ("head.*",))
    assert changed.folder == recipe.folder
    assert recipe.training.epochs == "auto"
    with pytest.raises(RecipeError, match=r"'train\.epochs'.*'training.epochs'"):
        recipe.override({"train.epochs": 1}, where="the command line")


@pytest.mark.parametrize(("values", "limit"), [({"macs": 0.5}, 50), ({"macs": 1}, 101), ({"macs": 7}, 7)])
def test_budget_is_a_share_up_to_one_and_a_count_above(values: dict[str, Any], limit: int) -> None:
    assert Budget.parse(values).limits({"macs": 101, "params": 9}) == {"macs": limit}


@pytest.mark.parametrize("values", [{}, {"macs": 0}, {"macs": -0.5}, {"macs": 2.5}, {"mac": 0.5}, {"macs": "half"}])
def test_invalid_budget_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        Budget.parse(values)


def test_a_data_folder_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe.load(_write(tmp_path, _WHOLE + 'data.dir = "${TEST_DATA:-../shared}/cifar10"\n'))
    monkeypatch.delenv("TEST_DATA", raising=False)
    assert recipe.data_dir == tmp_path / "../shared" / "cifar10"
    monkeypatch.setenv("TEST_DATA", "elsewhere")
    assert recipe.data_dir == Path.cwd() / "elsewhere" / "cifar10"
    bare = recipe.override({"data.dir": "${TEST_DATA}/cifar10"})
    monkeypatch.delenv("TEST_DATA")
    with pytest.raises(RecipeError, match=r"data\.dir.*TEST_DATA"):
        _ = bare.data_dir


def test_weights_are_found_next_to_the_recipe_or_in_the_data_folder(tmp_path: Path) -> None:
    recipe = Recipe.load(_write(tmp_path / "mine", _WHOLE + 'data.dir = "../data"\n'))
    assert recipe.weights_path == tmp_path / "mine" / "w.safetensors"
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "w.safetensors").touch()
    assert recipe.weights_path == tmp_path / "mine" / ".." / "data" / "w.safetensors"
    (tmp_path / "mine" / "w.safetensors").touch()
    assert recipe.weights_path == tmp_path / "mine" / "w.safetensors"


def test_layer_settings_override_global_ones(tmp_path: Path) -> None:
    text = """
    [prune]
    align = 8
    min_units = 0.25
    [[prune.layers]]
    match = "layer1.*"
    min_units = 16
    [[prune.layers]]
    match = "head"
    exclude = true
    """
    prune = Recipe.load(_write(tmp_path, _WHOLE + text)).prune
    assert (prune.align, prune.min_units) == (8, 0.25)
    first, last = prune.layers
    assert (first.match, first.min_units, first.max_units, first.align, first.exclude) == (
        "layer1.*",
        16,
        None,
        None,
        None,
    )
    assert (last.match, last.exclude) == ("head", True)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("prune.align = 0", r"'prune\.align'.*{file}.* 0,.* 1$"),
        (
            "prune.min_units = 1.5",
            r"'prune\.min_units'.*{file}.*1\.5.*\(0, 1\]",
        ),
        ("prune.layers = [{min_units = 2}]", r"'prune\.layers\[0\]\.match'.*{file}"),
        (
            "prune.layers = [{match = 'a'}]",
            r"'prune\.layers\[0\]'.*{file}.*min_units, max_units, align, exclude",
        ),
        ("prune.layers = [{match = 'a', min_unit = 2}]", r"'prune\.layers\[0\]\.min_unit'.*{file}"),
        ("prune.layers = [{match = 'a', max_units = 0}]", r"'prune\.layers\[0\]\.max_units'.*{file}.* 0,"),
    ],
)
def test_a_wrong_layer_table_is_named(tmp_path: Path, table: str, message: str) -> None:
    _is_refused(tmp_path, table, message)
