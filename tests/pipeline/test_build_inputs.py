"""Inputs are known by what is imported and read: nothing else counts, and no change of it is missed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from edgeprune.config import Recipe, Target
from edgeprune.devices import Local
from edgeprune.errors import InputError
from edgeprune.model import data as model_data
from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.build_inputs import Inputs, InputTracker
from edgeprune.pipeline.build_settings import BuildSettings
from edgeprune.pipeline.file_recorder import recording
from edgeprune.pipeline.stages.load_network import load_inputs

_NET = """
import json
from pathlib import Path
import torch
from torch import nn
import layers

def make():
    json.loads((Path(__file__).parent / "width.json").read_text())
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
"""
_MEMORY = """
import numpy as np
import torch
from torch.utils.data import TensorDataset, random_split

def data(folder):
    names = sorted(path.name for path in folder.iterdir())
    images, labels = torch.load(folder / "samples.pt")
    train, validation = random_split(TensorDataset(images, labels), [0.5, 0.5], torch.Generator().manual_seed(0))
    return {"train": train, "validation": validation}
"""
_LAZY = """
import torch
from torch.utils.data import Dataset

class Files(Dataset):
    def __init__(self, folder):
        self.files = sorted(folder.glob("*.bin"))
    def __len__(self):
        return len(self.files)
    def __getitem__(self, index):
        return torch.full((1, 2, 2), float(self.files[index].read_bytes()[0])), index % 2

def data(folder):
    return {"train": Files(folder), "validation": Files(folder)}
"""


def _project(folder: Path, data: str) -> Recipe:
    (folder / "photos").mkdir()
    (folder / "net.py").write_text(_NET)
    (folder / "layers.py").write_text("")
    (folder / "data.py").write_text(data)
    (folder / "width.json").write_text("{}")
    generator = torch.Generator().manual_seed(0)
    torch.save((torch.rand(8, 1, 2, 2, generator=generator), torch.arange(8) % 2), folder / "photos" / "samples.pt")
    for index in range(130):  # only every second one is read
        (folder / "photos" / f"{index:03}.bin").write_bytes(bytes([index]))
    (folder / "recipe.toml").write_text(
        "name = 'r'\nmodel = {factory = 'net.py:make', input = [1, 1, 2, 2]}\n"
        "data = {function = 'data.py:data', dir = 'photos'}\nbudget = {macs = 0.5}\n"
    )
    return Recipe.load(folder / "recipe.toml")


class _Build:
    """Resolves the inputs of a recipe as a build does; ``loads`` counts how often the user's code was loaded."""

    def __init__(self, recipe: Recipe, cache: Path) -> None:
        self.recipe, self.cache, self.loads = recipe, cache, 0
        self.changes: list[str] = []

    def __call__(self) -> Inputs:
        for name in ("layers", "width"):
            sys.modules.pop(name, None)
        tracker = InputTracker(self.recipe, self.cache)
        context = BuildContext(BuildSettings(self.recipe, Target.load("host"), self.cache, Local()))

        def load() -> model_data.Data:
            self.loads += 1
            return load_inputs(context)

        inputs = tracker.resolve(load)
        self.changes = tracker.changes
        return inputs


@pytest.fixture(params=[_MEMORY, _LAZY], ids=["in memory", "read later"])
def build(request: pytest.FixtureRequest, tmp_path: Path) -> _Build:
    (tmp_path / "project").mkdir()
    return _Build(_project(tmp_path / "project", request.param), tmp_path / "cache")


@pytest.mark.parametrize("path", ["unrelated.py", "notes.txt", "photos/README.txt", "photos/LICENSE", "photos/.hidden"])
def test_unrelated_files_change_no_input(path: str, build: _Build) -> None:
    first = build()
    assert build() == first
    assert build.loads == 1
    (build.recipe.folder / path).write_text("new")
    assert build().digests == first.digests
    assert not build.changes


@pytest.mark.parametrize(
    "settings",
    [
        {"prune.criterion": "nonsense"},
        {"prune.criterion": "gone.py:Criterion"},
        {"prune.criterion": "l1", "prune.criterion_options": {"nonsense": 1}},
        {"prune.selection": "nonsense"},
        {"schedule.name": "nonsense"},
        {"schedule.name": "weight_rewinding"},
    ],
)
def test_invalid_setting_is_refused_with_unchanged_inputs(settings: dict[str, object], build: _Build) -> None:
    first, recipe = build(), build.recipe
    build.recipe = recipe.override(settings)
    for _ in range(2):
        with pytest.raises(InputError):
            build()
    build.recipe = recipe.override({"prune.criterion": "l1", "budget.macs": 0.4})
    assert build().digests == first.digests
    assert not build.changes


def test_setting_without_code_does_not_reload_user_code(build: _Build) -> None:
    first = build()
    build.recipe = build.recipe.override({"budget.macs": 0.25, "training.lr": 0.01})
    assert build() == first
    assert build.loads == 1


def _edit(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes() + b"\n")


@pytest.mark.parametrize(
    ("name", "inputs"),
    [("net.py", {"factory"}), ("layers.py", {"factory"}), ("data.py", {"function"}), ("width.json", {"data"})],
)
def test_change_of_imported_or_read_file_changes_inputs(name: str, inputs: set[str], build: _Build) -> None:
    first = build()
    path = build.recipe.folder / name
    path.write_bytes(path.read_bytes() + b"\n")
    second = build()
    assert {key for key in first.digests if first.digests[key] != second.digests[key]} == inputs
    assert [name in change for change in build.changes] == [True]
    path.write_bytes(path.read_bytes()[:-1])
    assert build().digests == first.digests


def test_change_of_samples_changes_the_data_digest(build: _Build) -> None:
    first = build()
    photos = build.recipe.folder / "photos"
    file = photos / ("051.bin" if "glob" in (build.recipe.folder / "data.py").read_text() else "samples.pt")
    if file.suffix == ".bin":
        file.write_bytes(b"x")
    else:
        torch.save((torch.zeros(8, 1, 2, 2), torch.arange(8) % 2), file)
    assert build().digests["data"] != first.digests["data"]
    assert build.changes == [f"data changed: photos/{file.name}"]
    file.unlink()
    if file.suffix == ".bin":
        assert build().digests["data"] != first.digests["data"]


def test_same_samples_from_changed_folder_keep_the_data(tmp_path: Path) -> None:
    """In memory, a file that a C library could have read makes the build load again, and find the same samples."""
    build = _Build(_project(tmp_path, _MEMORY), tmp_path / ".cache")
    first = build()
    (tmp_path / "photos" / "table.h5").write_bytes(b"x")
    assert build().digests == first.digests
    assert build.loads == 2
    build()
    assert build.loads == 2


def test_change_of_weights_alone_loads_no_data(tmp_path: Path) -> None:
    _project(tmp_path, _MEMORY)
    build = _Build(Recipe.load(tmp_path).override({"model.weights": "w.pt"}), tmp_path / ".cache")
    state = {"1.weight": torch.zeros(2, 4), "1.bias": torch.zeros(2)}
    torch.save(state, tmp_path / "w.pt")
    first = build()
    torch.save({**state, "1.bias": torch.ones(2)}, tmp_path / "w.pt")
    second = build()
    assert build.loads == 1
    assert {key for key in first.digests if first.digests[key] != second.digests[key]} == {"weights"}
    assert build.changes == ["weights changed: w.pt"]


def test_damaged_record_is_replaced(tmp_path: Path) -> None:
    build = _Build(_project(tmp_path, _MEMORY), tmp_path / ".cache")
    first = build()
    for record in (tmp_path / ".cache" / "inputs").iterdir():
        record.write_text("{")
    assert build() == first
    assert build.loads == 2


def test_recorder_sees_reads_and_listings_and_no_writes(tmp_path: Path) -> None:
    (tmp_path / "read").write_text("1")
    with recording() as recorder:
        (tmp_path / "read").read_text()
        (tmp_path / "written").write_text("1")
        os.listdir(tmp_path)  # noqa: PTH208
        with pytest.raises(FileNotFoundError):
            (tmp_path / "missing").read_text()
        list((tmp_path / "nowhere").glob("*"))
        import xml.dom.minidom  # noqa: F401
    (tmp_path / "written").read_text()
    assert recorder.existing() == [tmp_path / "read"]
    assert recorder.missing() == [tmp_path / "missing"]
    assert tmp_path in recorder.listed


class _Custom(Dataset[int]):
    def __getitem__(self, index: int) -> int:
        return index

    def __len__(self) -> int:
        return 3


def test_digest_is_of_the_samples() -> None:
    from edgeprune.model.data_digest import data_digest
    from edgeprune.model.splits import Augment, TensorSplit

    def digest(one: object, **more: object) -> str | None:
        split = {"train": one, "validation": one, **more}
        return data_digest(model_data.as_data(split))

    images, labels = torch.rand(4, 1, 2, 2), torch.arange(4)
    results = [
        digest(TensorDataset(images, labels)),
        digest(TensorDataset(images + 1, labels)),
        digest(TensorDataset(images.double(), labels)),
        digest(TensorDataset(images.reshape(4, 2, 2, 1), labels)),
        digest(TensorDataset(images, labels.flip(0))),
        digest(TensorDataset(images, labels), test=TensorDataset(images, labels)),
        digest(torch.utils.data.Subset(TensorDataset(images, labels), [0, 1])),
        digest(torch.utils.data.Subset(TensorDataset(images, labels), [1, 0])),
        digest(torch.utils.data.ConcatDataset([TensorDataset(images, labels)])),
        digest([(image, int(label)) for image, label in zip(images, labels, strict=True)]),
        digest([(image.numpy(), int(label)) for image, label in zip(images, labels, strict=True)]),
        digest(TensorSplit(images, labels)),
        digest(TensorSplit(images, labels, mean=[0.5])),
        digest(TensorSplit(images, labels, augment=Augment(flip=True))),
    ]
    assert None not in results
    assert len(set(results)) == len(results)
    assert digest(TensorDataset(images.clone(), labels.clone())) == results[0]
    assert digest(_Custom()) is None
    assert digest(torch.utils.data.Subset(_Custom(), [0])) is None


def test_changes_of_edgeprune_and_of_packages_have_different_reasons() -> None:
    earlier = Inputs({}, {}, {"edgeprune": "1", "torch": "2.12", "numpy": "2.0"})
    assert Inputs({}, {}, {"edgeprune": "1", "torch": "2.13", "numpy": "2.0"}).changes(earlier) == [
        "package versions changed: torch"
    ]
    assert Inputs({}, {}, {"edgeprune": "2", "torch": "2.13"}).changes(earlier) == [
        "EdgePrune's own code or version changed",
        "package versions changed: numpy, torch",
    ]
