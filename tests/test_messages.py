"""The wording of error messages, compared with ``tests/messages.json``.

Other tests assert the class of an error and the names and values in its message. To accept a changed wording, run
``UPDATE_MESSAGES=1 pytest tests/test_messages.py`` and review the changes of the file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import edgeprune
from edgeprune import criteria, schedules, selection
from edgeprune.bundle.manifest import Manifest
from edgeprune.bundle.verification import verify
from edgeprune.config import Recipe, Target
from edgeprune.devices import device
from edgeprune.errors import EdgePruneError
from edgeprune.graph import capture
from edgeprune.model import weights
from edgeprune.model.user_objects import load_object
from edgeprune.profile import Profile
from edgeprune.tflite.tflite_loading import load_file
from tests.networks.collection import make

_SNAPSHOT = Path(__file__).with_name("messages.json")
_MINIMAL = "name = 'r'\nmodel = {factory = 'net.py:make', input = [1, 1, 2, 2]}\ndata = {function = 'data.py:data'}\n"


def _file(folder: Path, name: str, content: str) -> Path:
    (folder / name).write_text(content, encoding="utf-8")
    return folder / name


def _digits(**changes: object) -> Recipe:
    return Recipe.load("digits").override({key.replace("__", "."): value for key, value in changes.items()})


def _prune(**budget: float) -> None:
    network, example = make("flatten-into-linear")
    edgeprune.prune(network, example, budget=budget)


_CASES: dict[str, Callable[[Path], object]] = {
    "unknown recipe": lambda folder: Recipe.load("digit"),
    "recipe without a budget": lambda folder: Recipe.load(_file(folder, "recipe.toml", _MINIMAL)),
    "broken TOML": lambda folder: Recipe.load(_file(folder, "recipe.toml", "name = \n")),
    "unknown setting": lambda folder: _digits(prune__criterions="l2"),
    "setting out of range": lambda folder: _digits(training__epochs=-1),
    "invalid budget": lambda folder: _digits(budget__macs=0),
    "mistyped budget": lambda folder: _digits(budget__macs="2%%"),
    "unknown repair": lambda folder: _digits(prune__repair=["biases"]),
    "unknown target": lambda folder: Target.load("rasberry-pi"),
    "unknown runtime": lambda folder: Target.load("host").with_runtime("tflite"),
    "unknown criterion": lambda folder: criteria.create("l3"),
    "criterion without data": lambda folder: criteria.create("fisher"),
    "unknown option": lambda folder: criteria.create("l2", {"power": 3}),
    "unknown selection": lambda folder: selection.create("greedy"),
    "unknown schedule": lambda folder: schedules.create("twice"),
    "unreachable budget": lambda folder: _prune(macs=0.001),
    "wrong input shape": lambda folder: capture(nn.Linear(4, 2), (torch.ones(2, 3),)),
    "missing weights": lambda folder: weights.load_into(nn.Linear(4, 2), folder / "none.safetensors"),
    "missing factory file": lambda folder: load_object("net.py:make", base=folder),
    "missing factory": lambda folder: load_object(_file(folder, "net.py", "a = 1\n").name + ":make", base=folder),
    "missing manifest": Manifest.load,
    "missing bundle": lambda folder: verify(folder / "dist"),
    "invalid profile": lambda folder: Profile.from_json("{}", where="profile.json"),
    "damaged TFLite file": lambda folder: load_file(_file(folder, "model.tflite", "damaged")),
    "damaged plan": lambda folder: edgeprune.Plan.load(_file(folder, "plan.json", "{")),
    "unknown device": lambda folder: device("kitchen"),
}


@pytest.mark.parametrize("name", _CASES)
def test_message_is_that_of_the_snapshot(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(EdgePruneError) as raised:
        _CASES[name](tmp_path)
    text = str(raised.value).replace(str(tmp_path), "FOLDER")
    found = {"class": type(raised.value).__name__, "message": text}
    snapshot = json.loads(_SNAPSHOT.read_text(encoding="utf-8"))
    if "UPDATE_MESSAGES" in os.environ:
        snapshot = {case: found if case == name else snapshot.get(case) for case in _CASES}
        _SNAPSHOT.write_text(json.dumps(snapshot, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    assert found == snapshot[name]


def test_snapshot_has_no_other_messages() -> None:
    assert json.loads(_SNAPSHOT.read_text(encoding="utf-8")).keys() == _CASES.keys()
