"""``edgeprune build --log``: training curves in TensorBoard and CSV."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from edgeprune.cli import run
from edgeprune.errors import InputError
from edgeprune.pipeline.training_log import CsvLog, EpochScalars, TensorBoardLog, training_log
from tests.cli.own import ARGUMENTS

_SCALARS = {"train/loss", "val/loss", "val/accuracy", "lr"}


def _events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_tensorboard_reads_the_curves_of_the_last_build(tmp_path: Path) -> None:
    for losses in ([3.0, 2.0, 1.0], [0.5, 0.25]):
        log = TensorBoardLog(tmp_path)
        log.begin("net-board")
        for number, loss in enumerate(losses, 1):
            log.write(EpochScalars(number, 1 + number // 3, {"train/loss": loss, "lr": 0.1}))
        log.close()
    assert _events(tmp_path / "net-board")["train/loss"] == [(1, 0.5), (2, 0.25)]
    assert _events(tmp_path / "net-board" / "phase-2")["train/loss"] == [(3, 1.0)]


def test_csv_preserves_the_rows_of_other_runs(tmp_path: Path) -> None:
    path = tmp_path / "new" / "curves.csv"
    for name, loss in (("a", 3.0), ("b", 2.0), ("a", 1.0)):
        log = CsvLog(path)
        log.begin(name)
        log.write(EpochScalars(1, 1, {"train/loss": loss}))
        log.close()
    assert [(row["run"], float(row["train/loss"])) for row in _rows(path)] == [("b", 2.0), ("a", 1.0)]


@pytest.mark.parametrize("spec", ["curves.csv", "json:curves", "csv:", "csv:notes.txt", "csv:folder"])
def test_invalid_log_is_refused(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError):
        training_log(spec)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_log_that_cannot_be_written_ends_the_build_before_it_starts(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for spec in ("csv:net.py/curves.csv", "tensorboard:net.py/runs"):
        assert run([*ARGUMENTS, "--log", spec]) == 1
        assert "net.py" in capsys.readouterr().err
    assert not (own / ".edgeprune").exists()


@pytest.mark.long
def test_build_writes_the_same_curves_live_and_from_the_cache(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs = ["--log", "tensorboard:runs", "--log", "csv:curves.csv"]
    assert run([*ARGUMENTS, "--json", *logs]) == 0
    first = json.loads(capsys.readouterr().out)
    name = Path(first["folder"]).name
    rows = _rows(own / "curves.csv")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert {row["run"] for row in rows} == {name}
    events = _events(own / "runs" / name)
    assert events.keys() == _SCALARS
    for scalar in _SCALARS:
        assert [value for _, value in events[scalar]] == pytest.approx([float(row[scalar]) for row in rows])
    assert float(rows[-1]["val/accuracy"]) <= 1
    archive = Path(first["archive"]).read_bytes()

    (own / "curves.csv").unlink()
    assert run([*ARGUMENTS, "--json", *logs]) == 0
    second = json.loads(capsys.readouterr().out)
    assert all(stage["cached"] for stage in second["stages"])
    assert _rows(own / "curves.csv") == rows
    assert _events(own / "runs" / name) == events
    assert Path(second["archive"]).read_bytes() == archive


@pytest.mark.long
def test_each_phase_is_a_run(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schedule = ["--schedule", "iterative", "--set", "schedule.rounds=2"]
    assert run([*ARGUMENTS, *schedule, "--log", "csv:curves.csv"]) == 0, capsys.readouterr().err
    assert {row["phase"] for row in _rows(own / "curves.csv")} == {"1", "2"}
