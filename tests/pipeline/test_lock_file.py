"""The lock: where it lies, what it takes over, and what it refuses."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import get_args

import pytest

from edgeprune.config import Recipe
from edgeprune.errors import RecipeError
from edgeprune.pipeline.lock_file import Lock, path_of
from edgeprune.quantize.precision_choice import Speed
from edgeprune.training.precision_and_layout import Precision

_RECIPE = {
    "name": "own",
    "model": {"factory": "net.py:make", "input": [1, 1, 8, 8]},
    "data": {"function": "net.py:data"},
    "budget": {"macs": 0.5},
}


def test_lock_is_in_the_folder_of_the_recipe_or_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    own = Recipe.parse(_RECIPE, folder=tmp_path, where="test")
    assert path_of(own) == tmp_path / "edgeprune.lock"
    assert path_of(Recipe.load("digits")) == tmp_path / "here" / "edgeprune.lock"
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write anywhere
    assert path_of(own) == tmp_path / "here" / "edgeprune.lock"
    (tmp_path / "edgeprune.lock").write_text("{}")
    assert path_of(own) == tmp_path / "edgeprune.lock"


@pytest.mark.parametrize("schema", [0, -1, True, None, 1.0, "1"])
def test_a_schema_that_no_version_wrote_is_refused(tmp_path: Path, schema: object) -> None:
    path = tmp_path / "edgeprune.lock"
    path.write_text(json.dumps({"schema": schema, "recipes": {}}))
    with pytest.raises(RecipeError, match=r"edgeprune\.lock.*'schema'"):
        Lock(path, "one")


def test_entries_of_other_recipes_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "edgeprune.lock"
    first = Lock(path, "one")
    assert first.get("targets", "host") == {}
    first.add({("targets", "host"): {"int8": "faster"}, ("training",): {"precision": "bfloat16"}})
    first.save()
    second = Lock(path, "two")
    second.add({("targets", "host"): {"int8": "slower"}})
    second.save()
    again = Lock(path, "one")
    assert again.get("targets", "host") == {"int8": "faster"}
    assert again.get("training") == {"precision": "bfloat16"}
    assert again.matches({("targets", "host"): {"int8": "faster"}, ("targets", "other"): {"int8": "slower"}})
    assert not again.matches({("targets", "host"): {"int8": "slower"}})
    text = path.read_text()
    again.add({("targets", "host"): {"int8": "faster"}})
    before = path.stat().st_mtime_ns
    again.save()
    assert (path.read_text(), path.stat().st_mtime_ns) == (text, before)
    anew = Lock(path, "one", update=True)
    assert anew.get("targets", "host") == {}
    anew.add({("targets", "host"): {"int8": "unsure"}})
    anew.save()
    values = json.loads(path.read_text())["recipes"]
    assert values["one"] == {"targets": {"host": {"int8": "unsure"}}, "training": {"precision": "bfloat16"}}
    assert values["two"] == {"targets": {"host": {"int8": "slower"}}}


def test_build_without_measured_choices_writes_no_lock(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "edgeprune.lock", "one")
    lock.save()
    lock.add({})
    lock.save()
    Lock(None, "one").save()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"edgeprune\.lock.*line 1"),
        ("[]", "'schema'"),
        ('{"schema": 2}', r"schema 2\b.* 1\b"),
        ('{"schema": 1, "recipes": []}', "'recipes'"),
        ('{"schema": 1, "recipes": {"one": 3}}', "'recipes'"),
    ],
)
def test_invalid_lock_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "edgeprune.lock"
    path.write_text(text)
    with pytest.raises(RecipeError, match=message) as refused:
        Lock(path, "one")
    assert str(path) in str(refused.value)


_BAD = [
    ({"targets": {"host": {"int8": "quick"}}}, "targets.host.int8", "'quick'"),
    ({"targets": {"host": {"int8": None}}}, "targets.host.int8", "None"),
    ({"targets": {"host": {"int8": True}}}, "targets.host.int8", "True"),
    ({"targets": {"other": {"int8": ["faster"]}}}, "targets.other.int8", "['faster']"),
    ({"targets": {"host": {"latency_table": "g" * 64}}}, "targets.host.latency_table", "g" * 64),
    ({"targets": {"host": {"latency_table": "0" * 63}}}, "targets.host.latency_table", "0" * 63),
    ({"targets": {"host": {"latency_table": 0}}}, "targets.host.latency_table", "0"),
    ({"targets": {"host": {"latency_table": None}}}, "targets.host.latency_table", "None"),
    ({"targets": {"host": {"plans": {"3f2a9c1b07de": None}}}}, "targets.host.plans", "None"),
    ({"targets": {"host": {"plans": ["best"]}}}, "targets.host.plans", "['best']"),
    ({"targets": {"host": 3}}, "targets.host", "3"),
    ({"targets": {"host": {"int4": "faster"}}}, "targets.host.int4", "int8"),
    ({"targets": []}, "targets", "[]"),
    ({"target": {"host": {"int8": "faster"}}}, "target", "targets"),
    ({"training": {"precision": "float16"}}, "training.precision", "'float16'"),
    ({"training": {"precision": "auto"}}, "training.precision", "'auto'"),
    ({"training": {"precision": None}}, "training.precision", "None"),
    ({"training": {"channels_last": 1}}, "training.channels_last", "1"),
    ({"training": {"channels_last": "true"}}, "training.channels_last", "'true'"),
    ({"training": {"lr": 1e300}}, "training.lr", "precision"),
    ({"training": None}, "training", "None"),
]


@pytest.mark.parametrize(("section", "key", "result"), _BAD)
def test_a_value_that_no_version_wrote_is_refused(
    tmp_path: Path, section: dict[str, object], key: str, result: str
) -> None:
    path = tmp_path / "edgeprune.lock"
    path.write_text(json.dumps({"schema": 1, "recipes": {"one": section, "two": {}}}))
    with pytest.raises(RecipeError) as problem:
        Lock(path, "one")
    for part in (str(path), f"'{key}'", result, "--update-lock"):
        assert part in str(problem.value)
    assert Lock(path, "two").get("targets", "host") == {}  # another recipe does not depend on it


@pytest.mark.parametrize(("section", "key", "result"), _BAD)
def test_an_update_replaces_a_value_that_no_version_wrote(
    tmp_path: Path, section: dict[str, object], key: str, result: str
) -> None:
    path, other = tmp_path / "edgeprune.lock", {"targets": {"host": {"int8": "slower"}}}
    path.write_text(json.dumps({"schema": 1, "recipes": {"one": section, "two": other}}))
    lock = Lock(path, "one", update=True)
    lock.add({("targets", "host"): {"int8": "faster"}})
    lock.save()
    assert json.loads(path.read_text())["recipes"] == {"one": {"targets": {"host": {"int8": "faster"}}}, "two": other}
    assert Lock(path, "one").get("targets", "host") == {"int8": "faster"}


def test_an_update_refuses_a_damaged_file_before_anything_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "edgeprune.lock"
    path.write_text("{")
    with pytest.raises(RecipeError) as problem:
        Lock(path, "one", update=True)
    assert str(path) in str(problem.value)


@pytest.mark.parametrize("speed", get_args(Speed))
@pytest.mark.parametrize("precision", get_args(Precision))
def test_lock_written_by_a_build_is_read_back(tmp_path: Path, speed: str, precision: str) -> None:
    lock = Lock(tmp_path / "edgeprune.lock", "one")
    target = {"int8": speed, "latency_table": hashlib.sha256(b"").hexdigest(), "plans": {"3f2a9c1b07de": "fisher"}}
    lock.add({("targets", "host"): target, ("training",): {"precision": precision, "channels_last": True}})
    lock.save()
    again = Lock(tmp_path / "edgeprune.lock", "one")
    assert again.get("targets", "host") == target
    assert again.get("training") == {"precision": precision, "channels_last": True}
