"""``edgeprune init``: files of a new project, which load, fit together and build."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from edgeprune.cli import run
from edgeprune.config import Recipe
from edgeprune.model.user_objects import load_object
from tests.zoo.networks import declare_operators

_NET = """
from torch import nn

def make():
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _images(folder: Path, *parts: str, count: int = 12) -> None:
    for part in parts or ("",):
        for shade, name in enumerate(("dark", "light")):
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = np.full((9 + number, 12, 3), 200 * shade + number, dtype=np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{number}.png")
            (folder / part / name / "notes.txt").write_text("not an image")


def _samples(count: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(count, 1, 8, 8), torch.arange(count) % 3


def _report(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    report: dict[str, object] = json.loads(capsys.readouterr().out)["check"]
    return report


def test_init_writes_files_that_pass_their_check(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init"]) == 0
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == ["data.py", "model.py", "recipe.toml"]
    output = capsys.readouterr()
    assert all(name in output.out for name in ("recipe.toml", "model.py", "data.py", "edgeprune build ."))
    assert "warning: " in output.out + output.err
    assert run(["init", "--check", "--json"]) == 0
    assert _report(capsys)["input"] == [1, 3, 32, 32]
    assert _is_clean(folder)
    assert run(["init", "--input", "1,40", "--force"]) == 0
    assert _is_clean(folder)


def test_commented_settings_of_the_recipe_are_valid(folder: Path) -> None:
    assert run(["init"]) == 0
    path = folder / "recipe.toml"
    uncommented = re.sub(r"(?m)^# (?=\w+ = )", "", path.read_text())
    assert uncommented != path.read_text()
    path.write_text(uncommented)
    changed, default = Recipe.load(folder), Recipe.load("digits").override({"prune.criterion": "auto"})
    assert (changed.quantize, changed.schedule) == (default.quantize, default.schedule)
    assert changed.training.epochs == "auto"
    assert changed.prune == type(changed.prune)()


def test_existing_files_are_kept_without_force(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "model.py").write_text("mine")
    assert run(["init"]) == 3
    assert "model.py" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["model.py"]
    assert (folder / "model.py").read_text() == "mine"
    assert run(["init", "--output", "new/project"]) == 0
    assert run(["init", "--force"]) == 0
    assert "def build" in (folder / "model.py").read_text()


def _is_clean(folder: Path) -> bool:
    """Whether ruff has nothing to change in the files of a project."""
    options = ["--isolated", "--line-length", "120", str(folder)]
    checks = [["check", "--quiet", "--select", "B,E,F,I,RUF,SIM,UP,W"], ["format", "--quiet", "--check"]]
    return all(
        subprocess.run([sys.executable, "-m", "ruff", *check, *options], check=False).returncode == 0
        for check in checks
    )


def test_folder_that_cannot_be_written_is_an_error_of_the_system(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "file").touch()
    assert run(["init", "--output", "file/project"]) == 1
    assert "file" in capsys.readouterr().err


@pytest.mark.parametrize("parts", [(), ("train", "val"), ("train", "validation", "test")])
def test_images_in_class_folders_are_read(
    parts: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _images(folder / "photos", *parts)
    assert run(["init", "--data-dir", "photos", "--output", "project", "--input", "1,3,16,24", "--json"]) == 0
    report = _report(capsys)
    assert report["classes"] == ["dark", "light"]
    expected = {"train": 16, "validation": 4, "test": 4}
    assert report["samples"] == ({name.replace("val", "validation")[:10]: 24 for name in parts} if parts else expected)
    assert Recipe.load(folder / "project").data.dir == "../photos"
    assert _is_clean(folder / "project")


def test_classes_are_those_of_the_training_images(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _images(folder / "photos", "train", "val")
    shutil.rmtree(folder / "photos" / "val" / "dark")
    (folder / "photos" / "train" / ".cache").mkdir()
    assert run(["init", "--data-dir", "photos", "--json"]) == 0
    assert _report(capsys)["classes"] == ["dark", "light"]
    splits = load_object("data.py:load", base=folder)(folder / "photos")
    assert {label for _, label in splits["validation"].samples} == {1}


@pytest.mark.parametrize("kind", ["tuple.pt", "names.pt", "arrays.npz"])
def test_file_of_tensors_gives_shape_and_classes(kind: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs, labels = _samples()
    if kind == "arrays.npz":
        np.savez(folder / kind, y=labels.numpy(), x=inputs.numpy())
    else:
        torch.save((inputs, labels) if kind == "tuple.pt" else {"labels": labels, "images": inputs}, folder / kind)
    assert run(["init", "--data-dir", kind, "--json"]) == 0
    report = _report(capsys)
    assert report["input"] == [1, 1, 8, 8]
    assert report["samples"] == {"train": 32, "validation": 4, "test": 4}
    assert "CLASSES = 3" in (folder / "model.py").read_text()
    assert _is_clean(folder)


def test_own_network_is_named_and_not_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "net.py").write_text(_NET)
    torch.save(_samples(), folder / "samples.pt")
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Identity(), nn.Identity(), nn.Identity(), nn.Linear(8, 3))
    save_file(network.state_dict(), folder / "net.safetensors")
    options = ["--model", "net.py:make", "--weights", "net.safetensors", "--data-dir", ".", "--name", "mine"]
    assert run(["init", *options, "--output", "project", "--json"]) == 0
    assert _report(capsys)["has_weights"] is True
    recipe = Recipe.load(folder / "project")
    assert (recipe.name, recipe.model.factory, recipe.model.weights) == ("mine", "../net.py:make", "../net.safetensors")
    assert not (folder / "project" / "model.py").exists()
    assert run(["init", "--model", "net.py:make", "--input", "1,1,8,8"]) == 0
    assert "CLASSES = 3" in (folder / "data.py").read_text()


def test_file_names_may_have_quotes_and_dollar_signs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = folder / 'my "$photos"'
    place.mkdir()
    torch.save(_samples(), place / 'a "$sample".pt')
    assert run(["init", "--data-dir", str(place), "--json"]) == 0
    assert Recipe.load(folder).data.dir == place.name


@pytest.mark.parametrize(
    ("options", "exit_code", "names"),
    [
        (["--model", "net.py:make", "--input", "1,3,8,8"], 3, ["(1, 3, 8, 8)"]),
        (["--model", "net.py:none", "--input", "1,1,8,8"], 3, ["net.py", "make"]),
        (["--data-dir", "samples.pt", "--weights", "none.pt"], 3, ["none.pt"]),
        (["--data-dir", "samples.pt", "--input", "1,1,9,9"], 3, ["(1, 8, 8)", "(1, 9, 9)", "init --check"]),
        (["--data-dir", "empty"], 3, ["empty", "train", "--data"]),
        (["--data-dir", "bad.pt"], 3, ["bad.pt"]),
        (["--name", 'my "net"'], 3, ["name", "my"]),
        (["--data-dir", "none"], 3, ["none"]),
        (["--data", "net.py:make"], 3, ["--input"]),
        (["--from", "timm:resnet18"], 3, ["timm:resnet18", "torchvision"]),
        (["--from", "torchvision:resnet18", "--model", "net.py:make"], 2, ["--from", "--model"]),
        (["--check", "--weights", "w.pt"], 2, ["--weights"]),
        (["--check", "--output", "none"], 3, ["none", "recipe.toml"]),
    ],
)  # fmt: skip
def test_wrong_project_is_one_error(
    options: list[str], exit_code: int, names: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "net.py").write_text(_NET)
    (folder / "empty").mkdir()
    torch.save(_samples(), folder / "samples.pt")
    torch.save(torch.ones(3), folder / "bad.pt")
    assert run(["init", *options]) == exit_code
    errors = capsys.readouterr().err
    assert errors.count("error: ") == 1
    assert all(name in errors for name in names)


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is None, reason="torchvision is not installed")
def test_network_of_torchvision_gets_the_classes_of_the_images(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _library = declare_operators()
    _images(folder / "photos", count=10)
    assert run(["init", "--from", "torchvision:squeezenet1_1", "--data-dir", "photos", "--json"]) == 0
    assert _report(capsys)["input"] == [1, 3, 224, 224]
    assert "CLASSES = 2" in (folder / "model.py").read_text()
    assert "0.485" in (folder / "data.py").read_text()
    assert _is_clean(folder)
    assert run(["init", "--from", "torchvision:squeezenet", "--force"]) == 3
    assert "squeezenet1_1" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "torchvision", None)
    assert run(["init", "--from", "torchvision:resnet18", "--force"]) == 3
    assert "pip install torchvision" in capsys.readouterr().err


@pytest.mark.long
def test_written_project_builds(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "board.toml").write_text("name = 'board'\nprofile = {warmup = 1, runs = 6, blocks = 2}\n")
    assert run(["init", "--output", "project", "--input", "1,3,8,8", "--name", "mine"]) == 0
    short = ["--epochs", "1", "--set", "training.precision=float32", "--set", "training.channels_last=false"]
    assert run(["build", "project", "--target", "board.toml", *short]) == 0, capsys.readouterr().err
    assert (folder / "dist" / "mine-board" / "manifest.json").is_file()
