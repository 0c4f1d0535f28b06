"""Bad input through the command line: the exit code, a message that names what and where, and nothing half-written."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from edgeprune.cli import run

_MODEL = """
from torch import nn

def build():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3),
    )

def fails():
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, x):
            raise RuntimeError("the plumbing leaks")

    return Network()
"""
_DATA = """
import torch
from edgeprune.model.data import Data, TensorSplit

def _split(n, classes=3, spoil=False):
    rng = torch.Generator().manual_seed(n)
    images = torch.rand(n, 1, 8, 8, generator=rng)
    if spoil:
        images[0, 0, 0, 0] = float("nan")
    return TensorSplit(images, torch.arange(n) % classes)

def good():
    return Data(train=_split(96), validation=_split(48))

def empty():
    return Data(train=_split(96), validation=_split(0))

def untrained():
    return Data(train=_split(0), validation=_split(48))

def nan():
    return Data(train=_split(96), validation=_split(48, spoil=True))

def labels():
    return Data(train=_split(96, classes=5), validation=_split(48))

def folder(path):
    raise FileNotFoundError(path)
"""
_RECIPE = """
name = "tiny"
budget.macs = 0.5
model = {factory = "model.py:build", weights = "weights.safetensors", input = [1, 1, 8, 8]}
data.function = "data.py:good"
training = {epochs = 1, batch_size = 32}
prune = {samples = 32}
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a small recipe that builds as it is."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "model.py").write_text(_MODEL)
    (folder / "data.py").write_text(_DATA)
    (folder / "recipe.toml").write_text(_RECIPE)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Identity(), nn.Flatten(),
        nn.Linear(8, 3),
    )  # fmt: skip
    save_file(model.state_dict(), folder / "weights.safetensors")
    return folder


def _other_weights(folder: Path) -> None:
    state = load_file(folder / "weights.safetensors")
    del state["0.bias"]
    spoilt = {**state, "0.weight": torch.zeros(4, 1, 3, 3), "extra": torch.zeros(1)}
    save_file(spoilt, folder / "weights.safetensors")


def _pickle(folder: Path) -> None:
    torch.save(nn.Linear(2, 2), folder / "weights.pt")
    _set(folder, "weights.safetensors", "weights.pt")


def _set(folder: Path, old: str, new: str) -> None:
    text = (folder / "recipe.toml").read_text()
    assert old in text
    (folder / "recipe.toml").write_text(text.replace(old, new))


def _change(old: str, new: str) -> Callable[[Path], None]:
    return lambda folder: _set(folder, old, new)


_CASES = {
    "weights that do not fit": (
        _other_weights, [], 3,
        ("weights.safetensors", "missing 0.bias", "unexpected extra", "0.weight", "(4, 1, 3, 3)"),
    ),
    "no weights file": (lambda folder: (folder / "weights.safetensors").unlink(), [], 3, ("weights.safetensors",)),
    "an unsafe pickle": (_pickle, [], 3, ("weights.pt", "safetensors")),
    "an unknown key": (
        _change("training = {", "training = {epoch = 2, "), [], 3,
        ("'training.epoch'", "recipe.toml", "'training.epochs'"),
    ),
    "an unknown target": (
        None, ["--target", "toaster"], 3, ("'toaster'", "raspberry-pi-4", "host"),
    ),
    "an unknown recipe": (None, ["digit"], 3, ("'digit'", "'digits'")),
    "an example input of the wrong shape": (
        _change("[1, 1, 8, 8]", "[1, 3, 8, 8]"), [], 3, ("(1, 3, 8, 8)", "model.input", "channels"),
    ),
    "an input that the network takes and the data is not": (
        _change("[1, 1, 8, 8]", "[1, 1, 8, 9]"), [], 3, ("train", "(1, 8, 8)", "(1, 8, 9)", "model.input"),
    ),
    "a forward that fails": (
        _change('"model.py:build", weights = "weights.safetensors", input = [1, 1, 8, 8]',
                '"model.py:fails", input = [1, 3]'),
        [], 3, ("the plumbing leaks", "model.py"),
    ),
    "an empty data set": (_change("data.py:good", "data.py:empty"), [], 3, ("validation split",)),
    "no training data": (
        _change("data.py:good", "data.py:untrained"), ["--schedule", "iterative"], 3, ("train split",),
    ),
    "rewinding without rewind weights": (
        None, ["--schedule", "weight_rewinding"], 3, ("model.rewind_weights", "weight_rewinding"),
    ),
    "data that yields NaN": (_change("data.py:good", "data.py:nan"), [], 3, ("1 of 48 samples", "NaN")),
    "labels out of range": (_change("data.py:good", "data.py:labels"), [], 3, ("train", "0 to 4", "0 to 2")),
    "a missing data folder": (
        _change("data.py:good", "data.py:folder"), ["--data-dir", "nowhere"], 3, ("nowhere", "data.py"),
    ),
    "an unknown criterion": (None, ["--criterion", "l3"], 3, ("l3", "l2", "random")),
    "a budget out of reach": (None, ["--budget", "macs=10"], 4, ("macs",)),
    "a precision that the target does not run": (
        None, ["--target", "raspberry-pi-4", "--set", "quantize.precision=float16"], 3,
        ("quantize.precision", "'float16'", "raspberry-pi-4 supports only float32, int8"),
    ),
    "a runtime that the target does not have": (
        None, ["--target", "raspberry-pi-4", "--runtime", "tensorrt"], 3, ("'tensorrt'", "onnxruntime, litert"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", _CASES)
def test_bad_input_prints_one_error_and_its_exit_code(
    case: str, recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, arguments, code, output = _CASES[case]
    if spoil is not None:
        spoil(recipe)
    named = [] if arguments[:1] == ["digit"] else ["tiny"]
    assert run(["build", *named, *arguments]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("error: ") == 1
    assert "Traceback" not in printed.err
    for part in output:
        assert part in printed.err
    assert not (recipe.parent / "dist").exists()


def test_an_unreachable_budget_names_the_closest_value(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["build", "tiny", "--budget", "macs=10"]) == 4
    output = re.search(r"macs: 10 \D*([\d,]+)", capsys.readouterr().err)
    assert output is not None
    assert int(output[1].replace(",", "")) > 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "--model", "net:make"], "--model needs --data and --input"),
        (["build", "digits", "--model", "net:make", "--data", "net:data", "--input", "1,3"], "not both"),
        (["build", "--input", "1,x"], "1,3,224,224"),
        (["build", "--budget", "macs"], "KEY=VALUE"),
        (["build", "--epochs", "-1"], "--epochs"),
        (["build", "--output", __file__], "--output"),
        (["inspect", "net:make"], "--input"),
        (["build", "--no-such-option"], "--no-such-option"),
        (["bild"], "bild"),
        (["targets", "show"], "TARGET"),
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert message in printed.err
    assert printed.out == ""
