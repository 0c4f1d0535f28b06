"""Kill and resume, with a real SIGKILL on the embedded default: the weights come out the same, bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_BUILD = [sys.executable, "-c", "from edgeprune.cli import main; main()", "build", "digits", "--epochs", "3", "--json"]


def _build(folder: Path, *options: str) -> dict[str, Any]:
    ended = subprocess.run([*_BUILD, *options], cwd=folder, capture_output=True, text=True, timeout=1500, check=False)
    assert ended.returncode == 0, ended.stderr
    result: dict[str, Any] = json.loads(ended.stdout)
    return result


def _weights(folder: Path) -> bytes:
    return (folder / "dist" / "digits-host" / "weights.safetensors").read_bytes()


_STOP = """
import fnmatch, os, signal, sys

def stop(event, arguments):
    if event == "os.mkdir" and fnmatch.fnmatch(os.fspath(arguments[0]), "*work/{stage}-*/out"):
        os.kill(os.getpid(), signal.SIGSTOP)

sys.addaudithook(stop)
"""
"""Stops the process where a stage begins: however short it is, it cannot be missed."""


def _kill_in(folder: Path, stage: str) -> None:
    python, c, code, *arguments = _BUILD
    argv = [python, c, _STOP.format(stage=stage) + code, *arguments]
    process = subprocess.Popen(argv, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seen = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    assert seen is not None
    assert seen.si_code == os.CLD_STOPPED, "the build ended before it could be stopped"
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def _kill_when(folder: Path, reached: Callable[[Path], bool], *options: str) -> None:
    process = subprocess.Popen([*_BUILD, *options], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_until(process, lambda: reached(folder / ".edgeprune"))
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def _wait_until(process: subprocess.Popen[Any], reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 1500
    while not reached():
        assert process.poll() is None, "the build ended before it could be stopped"
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return folder, _build(folder)


def _training(root: Path) -> bool:
    return any(root.glob("work/finetune-*/keep/*"))


@pytest.mark.long
@pytest.mark.parametrize("stage", ["load", "rewrite", "in training", "export", "bundle"])
def test_a_killed_build_goes_on_and_gives_the_same_weights(
    tmp_path: Path, undisturbed: tuple[Path, dict[str, Any]], stage: str
) -> None:
    if stage == "in training":
        _kill_when(tmp_path, _training)
    else:
        _kill_in(tmp_path, stage)
    result = _build(tmp_path)
    assert _weights(tmp_path) == _weights(undisturbed[0])
    assert not list((tmp_path / ".edgeprune" / "work").iterdir())
    assert result["manifest"]["metrics"]["pruned"] == undisturbed[1]["manifest"]["metrics"]["pruned"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("file", "options"),
    [
        ("stretch-1.pt", ("iterative", "--set", "training.distillation.features=0.5")),
        ("stretch-3.pt", ("iterative", "--set", "training.distillation.features=0.5")),
        ("stretch-1.pt", ("mask_learning", "--set", "schedule.agent=attention")),
    ],
)
def test_a_killed_schedule_goes_on_in_the_stretch_it_was_in(
    tmp_path: Path, file: str, options: tuple[str, ...]
) -> None:
    options = ("--schedule", *options)
    folders = tmp_path / "undisturbed", tmp_path / "killed"
    for folder in folders:
        folder.mkdir()
    whole = _build(folders[0], *options)
    _kill_when(folders[1], lambda root: any(root.glob(f"work/schedule-*/keep/{file}")), *options)
    assert _build(folders[1], *options)["manifest"]["metrics"]["pruned"] == whole["manifest"]["metrics"]["pruned"]
    assert _weights(folders[1]) == _weights(folders[0])
    assert all(budget["ok"] for budget in whole["manifest"]["budgets"])
    again = _build(folders[0], *options)
    assert all(stage["cached"] for stage in again["stages"])


@pytest.mark.long
def test_ctrl_c_ends_with_130_and_says_how_to_go_on(tmp_path: Path) -> None:
    process = subprocess.Popen(
        _BUILD,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _wait_until(process, lambda: _training(tmp_path / ".edgeprune"))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 130
    assert out == ""
    assert err.count("error: ") == 1
    assert "Traceback" not in err
    assert "the same command goes on" in err


@pytest.mark.long
def test_an_identical_build_takes_everything_from_the_cache_and_loads_no_torch(
    undisturbed: tuple[Path, dict[str, Any]],
) -> None:
    folder, first = undisturbed
    assert not any(stage["cached"] for stage in first["stages"])
    code = (
        "import sys, edgeprune\n"
        "recipe = edgeprune.Recipe.load('digits').override({'training.epochs': 3})\n"
        "result = edgeprune.build(recipe, 'host')\n"
        "assert all(stage.cached for stage in result.stages), result.stages\n"
        "assert 'torch' not in sys.modules and 'onnxruntime' not in sys.modules\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.long
def test_a_lost_bundle_is_made_again_and_a_setting_only_redoes_what_depends_on_it(
    undisturbed: tuple[Path, dict[str, Any]],
) -> None:
    folder, first = undisturbed
    archive = Path(first["archive"])
    before = archive.read_bytes()
    archive.unlink()
    again = _build(folder)
    assert archive.read_bytes() == before
    assert [stage["name"] for stage in again["stages"] if not stage["cached"]] == ["bundle"]
