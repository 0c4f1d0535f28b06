"""``edgeprune emulator`` where none is installed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edgeprune.cli import run


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_list_has_emulators_and_their_folders(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["emulator", "--json"]) == 0
    (output,) = json.loads(capsys.readouterr().out)
    assert output["device"] == "emulator:raspberry-pi-4"
    assert output["installed"] is None
    assert output["folder"] == str(cache / "edgeprune" / "emulators" / "raspberry-pi-4")
    assert run(["emulator", "list"]) == 0
    assert "Raspberry Pi 4 Model B" in capsys.readouterr().out


def test_unknown_emulator_is_refused(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["emulator", "install", "pdp-11"]) == 3
    message = capsys.readouterr().err
    assert "'pdp-11'" in message
    assert "raspberry-pi-4" in message
    assert list(cache.iterdir()) == []


def test_missing_apt_is_an_error(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(cache))
    assert run(["emulator", "install", "raspberry-pi-4"]) == 5
    assert "apt-get" in capsys.readouterr().err
    assert not (cache / "edgeprune" / "emulators" / "raspberry-pi-4").exists()


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="no apt-get here")
def test_failed_download_reports_the_message_of_apt(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (cache / "apt.conf").write_text(f'Dir::Etc::sourcelist "{cache}/none"; Dir::Etc::sourceparts "{cache}/none";\n')
    monkeypatch.setenv("APT_CONFIG", str(cache / "apt.conf"))
    assert run(["emulator", "install", "raspberry-pi-4"]) == 5
    output = capsys.readouterr().err
    assert "apt-get cannot download python3:arm64" in output
    assert "Unable to locate package" in output
    remaining = {path.name for path in (cache / "edgeprune" / "emulators").iterdir()}
    assert remaining == {".raspberry-pi-4.lock", ".raspberry-pi-4.download"}
