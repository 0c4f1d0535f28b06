"""Progress of long work: totals, numbers of stages, and how long it takes, said once and early."""

from __future__ import annotations

import pytest

from edgeprune.cli.build_progress import BuildProgress
from edgeprune.cli.progress_bar import bar
from edgeprune.cli.time_estimate import TimeEstimate, duration
from edgeprune.pipeline.results.pruning_results import ScoreResult
from edgeprune.pipeline.stage import Stage


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("steps", "step_s", "announced_at", "text"),
    [(1000, 0.4, 5, "7 min"), (10, 40.0, 1, "6 min"), (100, 0.1, None, ""), (45, 0.5, 4, "20 s")],
    ids=["many steps", "long steps", "short", "just long"],
)
def test_long_work_is_announced_once_after_its_first_steps(
    steps: int, step_s: float, announced_at: int | None, text: str
) -> None:
    clock, output = _Clock(), list[tuple[float, str]]()
    estimate = TimeEstimate(lambda sentence: output.append((clock.now, sentence)), clock)
    clock.now += 1000.0  # time before the start does not count
    estimate.start(steps)
    for _ in range(steps):
        clock.now += step_s
        estimate.advance(1)
    expected = [] if announced_at is None else [1100.0 + announced_at * step_s]
    assert [moment for moment, _ in output] == pytest.approx(expected)
    assert all(text in sentence for _, sentence in output)


def test_durations() -> None:
    assert [duration(seconds) for seconds in (1, 24, 89, 100, 378, 3600, 5000)] == [
        "10 s", "20 s", "90 s", "2 min", "6 min", "1 h 0 min", "1 h 23 min",
    ]  # fmt: skip


def _stage(title: str) -> Stage[ScoreResult]:
    return Stage(title, title, lambda *_: ScoreResult(scores=None))


def test_build_prints_the_number_of_each_finished_stage(capsys: pytest.CaptureFixture[str]) -> None:
    with BuildProgress() as screen:
        screen.expect(2)
        screen.note("data changed: samples.pt")
        for title, cached in (("load", True), ("fine-tune", False)):
            progress = screen.begin(_stage(title), lambda: None)
            progress.start(3)
            progress.advance(2, loss=0.5)
            screen.end(_stage(title), ScoreResult(scores=None), seconds=1.25, cached=cached)
    lines = [line.split() for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        ["data", "changed:", "samples.pt"],
        ["stage", "1", "of", "2", "load", "cached"],
        ["stage", "2", "of", "2", "fine-tune", "1.25", "s"],
    ]


def test_stages_of_a_second_attempt_are_counted_from_one(capsys: pytest.CaptureFixture[str]) -> None:
    with BuildProgress() as screen:
        for _ in range(2):
            screen.expect(1)
            screen.begin(_stage("load"), lambda: None)
            screen.end(_stage("load"), ScoreResult(scores=None), seconds=1.0, cached=True)
    assert [line.split() for line in capsys.readouterr().err.splitlines()] == [
        ["stage", "1", "of", "1", "load", "cached"]
    ] * 2


def test_bars_on_a_terminal_have_a_total_and_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes any stream for a terminal then
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    with bar("sensitivity") as progress:
        progress.start(40)
        progress.advance(10)
    with BuildProgress() as screen:
        screen.expect(20)
        stage = screen.begin(_stage("fine-tune"), lambda: None)
        stage.start(30)
        stage.advance(7)
    samples = capsys.readouterr().err
    assert "10/40" in samples
    assert "stage 1 of 20: fine-tune" in samples
    assert "/20" in samples
    assert "7/30" in samples
    assert "left" in samples


@pytest.mark.parametrize(
    ("expected_s", "text"), [(3600.0, "1:00:00 left"), (61.0, "1:01 left"), (0.0, "0:00 left"), (None, "0:00 elapsed")]
)
def test_work_without_steps_shows_the_time_of_an_earlier_run(
    expected_s: float | None, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with BuildProgress() as screen:
        screen.expect(1)
        screen.begin(_stage("capture"), lambda: expected_s)
    samples = capsys.readouterr().err
    assert text in samples
    assert "capture" in samples
