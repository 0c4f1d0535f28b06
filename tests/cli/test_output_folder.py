"""``edgeprune build`` refuses to replace what is not a bundle, before it loads torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgeprune.cli import run


@pytest.mark.long
@pytest.mark.parametrize("foreign", ["digits-host/mine.txt", "digits-host.tar.gz"])
def test_build_refuses_to_replace_foreign_files(foreign: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "dist" / foreign
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "edgeprune", "build", "digits"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 3
    assert str(file.relative_to(tmp_path).parts[1]) in ended.stderr
    assert " torch\n" not in ended.stderr
    assert file.read_text() == "mine"
    assert not (tmp_path / ".edgeprune").exists()


def test_every_target_is_checked_before_the_first_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dist" / "digits-raspberry-pi-4").mkdir(parents=True)
    (tmp_path / "dist" / "digits-raspberry-pi-4" / "mine.txt").write_text("mine")
    assert run(["build", "digits", "--target", "host", "--target", "rpi"]) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["dist"]
