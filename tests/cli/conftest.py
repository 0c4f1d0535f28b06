"""A working folder to build in."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.cli.own import NETWORK


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a network, its weights, its data, and a target that measures little."""
    monkeypatch.chdir(tmp_path)
    return _filled(tmp_path)


@pytest.fixture(scope="module")
def _shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _filled(tmp_path_factory.mktemp("own"))


@pytest.fixture
def shared_own(_shared_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, with its cache shared by the tests of a module: what another test built is not built again."""
    monkeypatch.chdir(_shared_folder)
    return _shared_folder


def _filled(folder: Path) -> Path:
    (folder / "net.py").write_text(NETWORK)
    (folder / "board.toml").write_text("name = 'board'\nprofile = {warmup = 1, runs = 6, blocks = 2}\n")
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 12, 3), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 12, 3), nn.ReLU(), nn.Identity()]
    save_file(nn.Sequential(*layers, nn.Flatten(), nn.Linear(12, 4)).state_dict(), folder / "net.safetensors")
    return folder
