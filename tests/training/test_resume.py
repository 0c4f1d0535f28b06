"""Fine-tuning that is killed for real, at any moment, ends with the same bytes as when left alone."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from edgeprune.errors import InputError, TrainingError
from edgeprune.model import weights
from edgeprune.progress import SILENT, Progress, Silent
from tests import processes
from tests.training import run_to_kill as run

pytestmark = pytest.mark.long


def _kill(name: str, folder: Path, moment: str) -> None:
    assert _killed(name, folder, moment)


def _killed(name: str, folder: Path, moment: str) -> bool:
    """Whether the moment came before the end."""
    process = processes.start(run.train_until, moment, name, folder, folder=folder, log=folder / "killed")
    process.join(600)
    assert process.exitcode in (0, -signal.SIGKILL), (folder / "killed.err").read_text()
    return process.exitcode != 0


def _train(name: str, folder: Path, progress: Progress = SILENT) -> tuple[bytes, Any]:
    """Weights as bytes, and the history."""
    model = run.model(name)
    history = run.train(model, name, folder, progress)
    weights.save(model.state_dict(), folder / "result.safetensors")
    return (folder / "result.safetensors").read_bytes(), history


class _Seen(Silent):
    def __init__(self) -> None:
        self.steps: list[int] = []

    def start(self, total: int) -> None:
        self.total = total

    def advance(self, steps: int = 1, **figures: float) -> None:
        self.steps.append(steps)


def _figures(history: Any) -> list[tuple[float, ...]]:
    return [(epoch.train_loss, epoch.validation_loss, epoch.validation_accuracy) for epoch in history.epochs]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bytes, Any]]:
    names = ("sgd", "adamw-bfloat16", "phases", "explodes", "range-test")
    return {name: _train(name, tmp_path_factory.mktemp(name)) for name in names}


@pytest.mark.parametrize("name", ["sgd", "adamw-bfloat16", "range-test"])
def test_training_resumes_after_a_kill_within_an_epoch(tmp_path: Path, undisturbed: dict[str, Any], name: str) -> None:
    _kill(name, tmp_path, f"steps:{run.STEPS + 3}")
    calls = _Seen()
    resumed, history = _train(name, tmp_path, calls)
    assert calls.total == run.EPOCHS * run.STEPS
    assert calls.steps == [run.STEPS] + [1] * run.STEPS * (run.EPOCHS - 1)
    assert resumed == undisturbed[name][0]
    assert _figures(history) == _figures(undisturbed[name][1])
    assert history.hyperparameters == undisturbed[name][1].hyperparameters


# Files in their order: execution.json, best and the state at the start, then best, last and the state of each epoch.
@pytest.mark.parametrize("number", [1, 2, 3, 4, 6])
def test_training_resumes_after_a_kill_before_a_file_is_renamed(
    tmp_path: Path, undisturbed: dict[str, Any], number: int
) -> None:
    _kill("sgd", tmp_path, f"files:{number}")
    assert _train("sgd", tmp_path)[0] == undisturbed["sgd"][0]


def test_training_resumes_after_two_kills(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    _kill("sgd", tmp_path, f"steps:{run.STEPS + 1}")
    _kill("sgd", tmp_path, f"steps:{run.STEPS * 2 + 2}")  # counted from the start, the resumed epoch included
    assert _train("sgd", tmp_path)[0] == undisturbed["sgd"][0]


def _same(resumed: tuple[bytes, Any], undisturbed: tuple[bytes, Any]) -> None:
    assert resumed[0] == undisturbed[0]
    assert _figures(resumed[1]) == _figures(undisturbed[1])
    assert (resumed[1].best_epoch, resumed[1].rollbacks) == (undisturbed[1].best_epoch, undisturbed[1].rollbacks)


# Seven steps are in the first phase, which ends within the second of three epochs.
def test_phases_with_hook_and_average_resume_after_kills(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    for step in (2, 7, 8, 13):
        _kill("phases", tmp_path, f"steps:{step}")
    _same(_train("phases", tmp_path), undisturbed["phases"])


def test_phases_resume_after_kills_between_any_two_files(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    lives = 1
    while _killed("phases", tmp_path, "files:8"):
        lives += 1
        assert list(tmp_path.glob(".*.tmp")), "what was being written is left"
    assert lives > 2
    _same(_train("phases", tmp_path), undisturbed["phases"])
    assert not list(tmp_path.glob(".*.tmp"))


def test_diverging_training_resumes_after_kills(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    whole = undisturbed["explodes"]
    assert whole[1].rollbacks == 1
    assert whole[1].epochs[-1].train_loss < whole[1].epochs[0].train_loss
    for step in (4, 7):  # the last is in the midst of the explosion
        _kill("explodes", tmp_path, f"steps:{step}")
        assert torch.load(tmp_path / "phase-1.pt", weights_only=True)["rollbacks"] == 0
    calls = _Seen()
    resumed = _train("explodes", tmp_path, calls)
    assert min(calls.steps) < 0
    _same(resumed, whole)


def test_a_rollback_survives_a_kill_right_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for name in ("whole", "killed"):
        monkeypatch.setenv(run.BROKE, str(tmp_path / f"{name}-broke"))
        (tmp_path / name).mkdir()
        if name == "killed":
            # Before the first epoch: execution and start. After each: best, last, state. In between: one a step.
            _kill("breaks", tmp_path / name, f"steps:{run.STEPS}")
            monkeypatch.setenv(run.BROKE, str(tmp_path / f"{name}-broke"))
            _kill("breaks", tmp_path / name, "rollback")
            remaining = torch.load(tmp_path / name / "phase-1.pt", weights_only=True)
            assert (remaining["rollbacks"], remaining["step"]) == (1, run.STEPS)
        results.append(_train("breaks", tmp_path / name))
    assert results[0][1].rollbacks == 1
    assert len(results[0][1].epochs) == run.EPOCHS
    _same(results[1], results[0])


def test_measured_execution_is_saved_before_the_first_step(tmp_path: Path) -> None:
    _kill("auto", tmp_path, "steps:1")
    file = tmp_path / "execution.json"
    decided = json.loads(file.read_text())
    assert set(decided["step_ms"]) == {
        "float32", "float32, channels last", "bfloat16", "bfloat16, channels last",
    }  # fmt: skip
    assert all(ms > 0 for ms in decided["step_ms"].values())
    # Whatever it was, now say the opposite: a run that measured anew would not follow it both times.
    results = []
    for precision in ("bfloat16", "float32"):
        folder = tmp_path / precision
        folder.mkdir()
        (folder / "execution.json").write_text(json.dumps({**decided, "precision": precision}))
        results.append(_train("auto", folder))
        assert results[-1][1].execution.precision == precision
    assert results[0][0] != results[1][0]


def test_other_threads_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _train("sgd", tmp_path)
    file = tmp_path / "execution.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "threads": 999}))
    _train("sgd", tmp_path)
    assert "999 threads" in caplog.text


def test_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first, history = _train("sgd", tmp_path)
    calls = _Seen()
    again, read = _train("sgd", tmp_path, calls)
    assert again == first
    assert read == history
    assert calls.steps == [run.EPOCHS * run.STEPS]


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    _train("sgd", tmp_path)
    with pytest.raises(TrainingError, match=str(tmp_path)):
        _train("adamw-bfloat16", tmp_path)
    model = run.model()
    with torch.no_grad():
        model[0].bias += 1
    with pytest.raises(TrainingError, match=str(tmp_path)):
        run.train(model, "sgd", tmp_path)


def test_a_run_of_more_processes_is_refused(tmp_path: Path) -> None:
    _train("sgd", tmp_path)
    content = torch.load(tmp_path / "phase-1.pt", weights_only=True)
    torch.save({**content, "processes": 2}, tmp_path / "phase-1.pt")
    with pytest.raises(InputError, match=r"2.*1.*--nproc-per-node.*2"):
        _train("sgd", tmp_path)


@pytest.mark.parametrize("name", ["phase-1.pt", "execution.json"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    _train("sgd", tmp_path)
    (tmp_path / name).write_bytes(b"damaged")
    with pytest.raises(TrainingError, match=name):
        _train("sgd", tmp_path)
