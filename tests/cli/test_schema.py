"""Published JSON Schemas: they are those of the code, and accept what the code accepts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from edgeprune.cli import run
from edgeprune.cli.schema import NAMES, json_schema
from edgeprune.config.settings_base import read_toml
from edgeprune.errors import InputError
from tests.report import samples

_ROOT = Path(__file__).parents[2]
_RECIPES = sorted(_ROOT.glob("recipes/*/recipe.toml"))
_TARGETS = sorted(_ROOT.glob("targets/*.toml"))


def _validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json_schema(name))


@pytest.mark.parametrize("name", NAMES)
def test_published_schema_is_the_one_that_is_printed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", name]) == 0
    printed = capsys.readouterr().out
    assert (_ROOT / "docs" / "reference" / f"{name}.schema.json").read_text(encoding="utf-8") == printed
    jsonschema.Draft202012Validator.check_schema(json.loads(printed))


def test_missing_name_is_one_line_with_the_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "NAME" in line
    assert all(name in line for name in NAMES)


@pytest.mark.parametrize("path", [*_RECIPES, *_TARGETS], ids=lambda path: "/".join(path.parts[-2:]))
def test_schema_accepts_packaged_file(path: Path) -> None:
    _validator("recipe" if path in _RECIPES else "target").validate(read_toml(path, InputError))


@pytest.mark.parametrize(
    ("name", "values"),
    [("manifest", json.loads(samples.manifest().to_json())), ("report", json.loads(samples.facts().to_json()))],
    ids=["manifest", "report"],
)
def test_schema_accepts_file_of_bundle(name: str, values: dict[str, Any]) -> None:
    _validator(name).validate(values)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("recipe", {"name": "a", "model": {"factory": "net.py:Net", "input": [1, 3]}, "budget": {"macs": 0.5}}),
        ("recipe", {"nme": "a"}),
        ("target", {"name": "a", "runtime": {"precisions": ["int7"]}}),
        ("manifest", {"schema": 2}),
    ],
    ids=["no data", "unknown key", "precision", "newer schema"],
)
def test_schema_refuses_what_the_reader_refuses(name: str, values: dict[str, Any]) -> None:
    assert not _validator(name).is_valid(values)


def test_properties_have_the_descriptions_of_the_attributes() -> None:
    schema = json_schema("recipe")
    quantize = schema["$defs"]["QuantizeSettings"]
    assert "Attributes" not in quantize["description"]
    assert "training samples" in quantize["properties"]["samples"]["description"]
    assert "\n" not in quantize["properties"]["precision"]["description"]


def test_unknown_schema_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", "bundel"]) == 2
    assert "'recipe', 'target', 'manifest'" in capsys.readouterr().err
