"""The lock: where it lies, what it takes over, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeprune.config import Recipe
from edgeprune.errors import RecipeError
from edgeprune.pipeline.lock import Lock, path_of

_RECIPE = {
    "name": "own",
    "model": {"factory": "net.py:make", "input": [1, 1, 8, 8]},
    "data": {"function": "net.py:data"},
    "budget": {"macs": 0.5},
}


def test_it_lies_beside_the_recipe_or_of_a_packaged_one_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    with pytest.raises(RecipeError, match="schema"):
        Lock(path, "one")


def test_findings_are_kept_beside_those_of_others(tmp_path: Path) -> None:
    path = tmp_path / "edgeprune.lock"
    first = Lock(path, "one")
    assert first.get("targets", "host") == {}
    first.keep({("targets", "host"): {"int8": "faster"}, ("training",): {"precision": "bfloat16"}})
    first.save()
    second = Lock(path, "two")
    second.keep({("targets", "host"): {"int8": "slower"}})
    second.save()
    again = Lock(path, "one")
    assert again.get("targets", "host") == {"int8": "faster"}
    assert again.get("training") == {"precision": "bfloat16"}
    assert again.agrees({("targets", "host"): {"int8": "faster"}, ("targets", "other"): {"int8": "slower"}})
    assert not again.agrees({("targets", "host"): {"int8": "slower"}})
    text = path.read_text()
    again.keep({("targets", "host"): {"int8": "faster"}})
    before = path.stat().st_mtime_ns
    again.save()
    assert (path.read_text(), path.stat().st_mtime_ns) == (text, before)
    anew = Lock(path, "one", update=True)
    assert anew.get("targets", "host") == {}
    anew.keep({("targets", "host"): {"int8": "unsure"}})
    anew.save()
    told = json.loads(path.read_text())["recipes"]
    assert told["one"] == {"targets": {"host": {"int8": "unsure"}}, "training": {"precision": "bfloat16"}}
    assert told["two"] == {"targets": {"host": {"int8": "slower"}}}


def test_without_a_finding_there_is_no_file(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "edgeprune.lock", "one")
    lock.save()
    lock.keep({})
    lock.save()
    Lock(None, "one").save()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "is no lock of EdgePrune"),
        ("[]", "schema"),
        ('{"schema": 2}', "has schema 2; this EdgePrune reads up to 1"),
        ('{"schema": 1, "recipes": []}', "recipes is no table"),
        ('{"schema": 1, "recipes": {"one": 3}}', "recipes is no table"),
    ],
)
def test_what_is_no_lock_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "edgeprune.lock"
    path.write_text(text)
    with pytest.raises(RecipeError, match=told) as refused:
        Lock(path, "one")
    assert str(path) in str(refused.value)


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "edgeprune.lock"
    path.write_text('{"schema": 1, "recipes": {"one": {"targets": {"host": 3}}}}')
    with pytest.raises(RecipeError, match=r"targets.host is no table"):
        Lock(path, "one").get("targets", "host")
