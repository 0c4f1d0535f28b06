"""Criteria by name: those there are, and a user's own."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from edgeprune.cli import run
from edgeprune.criteria import Network, create, documentation, find, options_of, registered, score
from edgeprune.errors import InputError
from edgeprune.graph import capture, units_of
from tests.networks.collection import make

_OWN = '''
import torch
from edgeprune.criteria import Criterion

class Position(Criterion):
    """The position of a unit, times ``factor``."""

    name = "position"

    def __init__(self, factor: float = 1.0):
        self.factor = factor

    def score(self, network):
        return self.factor * torch.arange(len(network.units), dtype=torch.float64)

class Named(Position):
    name = "named"

    def __init__(self, factor):
        super().__init__(factor)

class Thing:
    pass
'''


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(_OWN, encoding="utf-8")
    return path


def test_criterion_is_loaded_from_a_file(own: Path) -> None:
    model, example = make("zero-padded-residual")
    network = Network(model, units_of(capture(model, example)))
    scores = create("mine.py:Position", {"factor": 2.0}, base=own.parent).score(network)
    assert torch.equal(scores, 2 * torch.arange(len(network.units)).double())


@pytest.mark.parametrize("factor", [-1.0, math.nan, math.inf])
def test_scores_of_the_wrong_shape_or_type_are_refused(own: Path, factor: float) -> None:
    model, example = make("zero-padded-residual")
    network = Network(model, units_of(capture(model, example)))
    with pytest.raises(InputError, match=r"criterion: position .*(-1|nan|inf)\b.* for unit"):
        score(create("mine.py:Position", {"factor": factor}, base=own.parent), network)
    shape = len(network.units)
    with pytest.raises(InputError, match=rf"criterion: position .*\({shape},\).*\(2, {shape}\)"):
        score(create("mine.py:Position", {"factor": torch.ones(2, 1)}, base=own.parent), network)


def test_non_finite_weights_are_refused() -> None:
    model, example = make("zero-padded-residual")
    network = Network(model, units_of(capture(model, example)))
    with torch.no_grad():
        next(model.parameters())[1] = math.nan
    with pytest.raises(InputError, match=f"criterion: l1 .*{network.units.groups[0].name}"):
        create("l1").score(network)


def test_criterion_is_loaded_from_a_module(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own.parent)
    assert find("mine:Position").name == "position"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("l3", {}, ("'l3'", "l2")),
        ("apos", {}, ("'apos'", "'apoz'")),
        ("mine.py:Thing", {}, ("mine.py:Thing", "Criterion")),
        ("mine.py:Other", {}, ("Other", "Position")),
        ("mine.py:Position", {"speed": 1}, ("'speed'", "factor")),
        ("mine.py:Named", {}, ("named", "'factor'")),
        ("l2", {"aggregate": "median"}, ("'median'", "'sum'", "'mean'", "'max'")),
        ("l2", {"normalize": "std"}, ("'std'", "'none'")),
        ("l0", {"threshold": 1.0}, ("threshold", "1.0")),
        ("apoz", {"threshold": -0.1}, ("threshold", "-0.1")),
        ("apoz", {"threshold": math.nan}, ("threshold", "nan")),
        ("apoz", {"threshold": "0.1"}, ("threshold", "'0.1'")),
        ("weight_entropy", {"bins": 1}, ("bins", "1", "2")),
        ("activation_entropy", {"bins": 8.0}, ("bins", "8.0", "integer")),
    ],
)
def test_invalid_criterion_is_an_error(
    name: str, options: dict[str, object], message: tuple[str, ...], own: Path
) -> None:
    with pytest.raises(InputError) as error:
        create(name, options, data=True, base=own.parent)
    assert all(word in str(error.value) for word in message)


def _words(documentation: str) -> list[str]:
    """Its words as a terminal shows them, which wraps them at its own width."""
    return documentation.replace("``", "`").split()


def test_command_lists_requirements_of_each_criterion(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["criteria", "--json"]) == 0
    listed = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert listed.keys() == registered().keys()
    assert listed["apoz"]["needs"] == "data"
    assert listed["lda"]["needs"] == "labels"
    assert listed["apoz"]["options"] == {"threshold": 0.01, "aggregate": "sum", "normalize": "mean"}
    assert all(one["documentation"] == documentation(registered()[name]) for name, one in listed.items())
    assert run(["criteria"]) == 0
    printed = capsys.readouterr().out
    assert all(_words(one["description"])[0] in printed for one in listed.values())


def test_command_shows_one_criterion(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["criteria", "apoz"]) == 0
    printed = capsys.readouterr().out
    assert " ".join(_words(documentation(registered()["apoz"]))) in " ".join(printed.split())
    assert all(name in printed for name in options_of(registered()["apoz"]))
    assert run(["criteria", "apoz", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "apoz"


def test_command_shows_an_own_criterion(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(own.parent)
    assert run(["criteria", "mine.py:Position", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["options"] == {"factor": 1.0}
    assert values["description"].startswith("The position of a unit")
    assert run(["criteria", "l3"]) == 3
    assert "l2" in capsys.readouterr().err
