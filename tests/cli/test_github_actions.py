"""Annotations and summaries on GitHub Actions, and nothing of them elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeprune.cli import github_actions, run


def test_an_error_is_annotated_on_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    github_actions.annotate("50% lost\nin two lines", title="a:b, c")
    assert capsys.readouterr().err == "::error title=a%3Ab%2C c::50%25 lost%0Ain two lines\n"
    assert run(["targets", "show", "nowhere"]) == 3
    plain, note = capsys.readouterr().err.splitlines()
    assert plain.startswith("error: unknown target")
    assert note.startswith("::error title=edgeprune::unknown target")


def test_summary_is_appended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    github_actions.summarise(lambda: "one\n")
    github_actions.summarise(lambda: "two")
    assert (tmp_path / "summary.md").read_text() == "one\n\ntwo\n\n"


def test_github_summary_is_not_written_outside_github_actions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.chdir(tmp_path)
    github_actions.annotate("nothing")
    github_actions.summarise(lambda: "nothing")
    assert capsys.readouterr().err == ""
    assert list(tmp_path.iterdir()) == []
