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
    (tmp_path / "net.py").write_text(NETWORK)
    (tmp_path / "board.toml").write_text("name = 'board'\nprofile = {warmup = 1, runs = 6, blocks = 2}\n")
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 12, 3), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 12, 3), nn.ReLU(), nn.Identity()]
    save_file(nn.Sequential(*layers, nn.Flatten(), nn.Linear(12, 4)).state_dict(), tmp_path / "net.safetensors")
    return tmp_path
