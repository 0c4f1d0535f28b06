"""Kill and resume, with a real SIGKILL on the embedded default: the weights come out the same, bit for bit."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from tests import processes, quick_host

pytestmark = pytest.mark.long

_ARGUMENTS = (
    "digits", "--epochs", "3", "--set", "prune.samples=64", "--set", "quantize.precision=float32", "--json",
)  # fmt: skip
_ITERATIVE = ("--schedule", "iterative", "--set", "training.distillation.features=0.5")
_MASKS = ("--schedule", "mask_learning", "--set", "schedule.agent=attention")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    quick_host.write(tmp_path)
    return tmp_path


def _build(folder: Path, *options: str) -> dict[str, Any]:
    log = folder / "build.log"
    process = processes.start(processes.build, *_ARGUMENTS, *options, folder=folder, log=log)
    process.join(1500)
    assert process.exitcode == 0, log.with_suffix(".err").read_text()
    result: dict[str, Any] = json.loads(log.with_suffix(".out").read_text())
    return result


def _weights(folder: Path) -> bytes:
    return (folder / "dist" / "digits-host" / "weights.safetensors").read_bytes()


def _kill_in(folder: Path, stage: str) -> None:
    process = processes.start(partial(processes.build, kill_in=stage), *_ARGUMENTS, folder=folder, log=folder / "kill")
    process.join(1500)
    assert process.exitcode == -signal.SIGKILL, "the build ended before it could be killed"


def _kill_when(folder: Path, reached: Callable[[Path], bool], *options: str) -> None:
    process = processes.start(processes.build, *_ARGUMENTS, *options, folder=folder, log=folder / "kill")
    _wait_until(process.is_alive, lambda: reached(folder / ".edgeprune"))
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def _wait_until(running: Callable[[], bool], reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 1500
    while not reached():
        assert running(), "the build ended before it could be stopped"
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    quick_host.write(folder)
    return folder, _build(folder)


def _training(root: Path) -> bool:
    return any(root.glob("work/train-*/keep/*.pt"))


def test_build_resumes_after_sigkill_in_several_stages(folder: Path, undisturbed: tuple[Path, dict[str, Any]]) -> None:
    _kill_when(folder, _training)
    for stage in ("export", "bundle"):
        _kill_in(folder, stage)
    result = _build(folder)
    assert [stage["name"] for stage in result["stages"] if not stage["cached"]] == ["bundle"]
    assert _weights(folder) == _weights(undisturbed[0])
    assert not list((folder / ".edgeprune" / "work").iterdir())
    assert result["manifest"]["metrics"]["pruned"] == undisturbed[1]["manifest"]["metrics"]["pruned"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[tuple[str, ...]], tuple[Path, dict[str, Any]]]:
    """Builds with a schedule that nothing disturbs, each once for all kills."""

    @cache
    def build(options: tuple[str, ...]) -> tuple[Path, dict[str, Any]]:
        folder = tmp_path_factory.mktemp("whole")
        quick_host.write(folder)
        return folder, _build(folder, *options)

    return build


@pytest.mark.parametrize(("file", "options"), [("phase-3.pt", _ITERATIVE), ("phase-1.pt", _MASKS)])
def test_schedule_resumes_after_sigkill_in_the_same_phase(
    folder: Path,
    whole: Callable[[tuple[str, ...]], tuple[Path, dict[str, Any]]],
    file: str,
    options: tuple[str, ...],
) -> None:
    whole_folder, undisturbed = whole(options)
    _kill_when(folder, lambda root: any(root.glob(f"work/prune-while-training-*/keep/{file}")), *options)
    assert _build(folder, *options)["manifest"]["metrics"]["pruned"] == undisturbed["manifest"]["metrics"]["pruned"]
    assert _weights(folder) == _weights(whole_folder)
    assert all(budget["ok"] for budget in undisturbed["manifest"]["budgets"])
    again = _build(whole_folder, *options)
    assert all(stage["cached"] for stage in again["stages"])


def test_ctrl_c_exits_with_130_and_prints_how_to_resume(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "edgeprune", "build", *_ARGUMENTS],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _wait_until(lambda: process.poll() is None, lambda: _training(tmp_path / ".edgeprune"))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 130
    assert out == ""
    assert err.count("error: ") == 1
    assert "Traceback" not in err
    assert "same command again" in err


def test_cached_build_imports_no_torch(
    undisturbed: tuple[Path, dict[str, Any]],
) -> None:
    folder, first = undisturbed
    assert not any(stage["cached"] for stage in first["stages"])
    code = (
        "import sys, edgeprune\n"
        "recipe = edgeprune.Recipe.load('digits').override({'training.epochs': 3, 'prune.samples': 64,"
        " 'quantize.precision': 'float32'})\n"
        "result = edgeprune.build(recipe, 'host')\n"
        "assert all(stage.cached for stage in result.stages), result.stages\n"
        "assert 'torch' not in sys.modules and 'onnxruntime' not in sys.modules\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_missing_archive_is_packed_again(
    undisturbed: tuple[Path, dict[str, Any]],
) -> None:
    folder, first = undisturbed
    archive = Path(first["archive"])
    before = archive.read_bytes()
    archive.unlink()
    again = _build(folder)
    assert archive.read_bytes() == before
    assert [stage["name"] for stage in again["stages"] if not stage["cached"]] == ["bundle"]
