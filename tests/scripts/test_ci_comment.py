"""The comment on a pull request: one for each recipe and targets, and nobody else's is touched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_SCRIPT = Path(__file__).parents[2] / "scripts" / "ci_comment.sh"
_BOT = "github-actions[bot]"

pytestmark = pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq, which the stand-in for gh runs")


class PullRequest:
    """One with comments, behind a stand-in for ``gh``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._state = folder / "state.json"
        self.set(viewer=_BOT, comments=[])
        gh = folder / "bin" / "gh"
        gh.parent.mkdir()
        gh.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).with_name("gh.py")} "$@"\n')
        gh.chmod(0o755)

    def set(self, **values: Any) -> None:
        self._state.write_text(json.dumps({**self._read(), **values}))

    def _read(self) -> dict[str, Any]:
        return dict(json.loads(self._state.read_text())) if self._state.exists() else {}

    @property
    def comments(self) -> list[dict[str, str]]:
        return list(self._read()["comments"])

    def comment(self, text: str, **variables: str) -> int:
        file = self.folder / "comment.md"
        file.write_text(text)
        environment = {
            **os.environ,
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "STATE": str(self._state),
            "GITHUB_REPOSITORY": "owner/name",
            "GITHUB_WORKFLOW": "edgeprune",
            "PULL": "12",
            "RECIPE": "digits",
            "TARGETS": "host",
            **variables,
        }
        return subprocess.run(["sh", str(_SCRIPT), str(file)], env=environment, check=False, timeout=60).returncode


@pytest.fixture
def pull_request(tmp_path: Path) -> PullRequest:
    return PullRequest(tmp_path)


def test_a_second_run_updates_the_comment_of_the_first(pull_request: PullRequest) -> None:
    hard = "**digits for host**\n\n| `a` | \"b\" | $HOME | 'c' | \\n | @x | − |\n"
    assert pull_request.comment("first") == 0
    (first,) = pull_request.comments
    assert first["body"].splitlines()[1:] == ["first"]
    assert first["body"].startswith("<!-- ")
    assert pull_request.comment(hard) == 0
    (second,) = pull_request.comments
    assert second["id"] == first["id"]
    assert second["body"].partition("\n")[2].rstrip("\n") == hard.rstrip("\n")


def test_every_recipe_targets_and_workflow_has_a_comment_of_its_own(pull_request: PullRequest) -> None:
    runs: list[dict[str, str]] = [
        {},
        {"RECIPE": "recipes/mine"},
        {"TARGETS": "host raspberry-pi-4"},
        {"GITHUB_WORKFLOW": "nightly"},
        {"RECIPE": '"; touch hacked; $(touch hacked) `touch hacked`'},
    ]
    for number, variables in enumerate(runs):
        assert pull_request.comment(f"first of {number}", **variables) == 0
    for number, variables in enumerate(runs):
        assert pull_request.comment(f"second of {number}", **variables) == 0
    assert [one["body"].splitlines()[1] for one in pull_request.comments] == [
        f"second of {n}" for n in range(len(runs))
    ]
    assert not list(pull_request.folder.rglob("hacked"))


def test_comments_without_the_marker_are_not_changed(pull_request: PullRequest) -> None:
    assert pull_request.comment("mine") == 0
    (mine,) = pull_request.comments
    others = [
        {"id": "IC_quoted", "author": "somebody", "body": mine["body"]},
        {"id": "IC_late", "author": _BOT, "body": f"another workflow quotes {mine['body']}"},
    ]
    pull_request.set(comments=others)
    assert pull_request.comment("again") == 0
    assert pull_request.comments[:2] == others
    assert pull_request.comments[2]["body"].splitlines()[1] == "again"


def test_the_comment_is_found_behind_hundreds_of_others(pull_request: PullRequest) -> None:
    assert pull_request.comment("mine") == 0
    (mine,) = pull_request.comments
    others = [{"id": f"IC_o{n}", "author": "somebody", "body": f"comment {n}"} for n in range(250)]
    pull_request.set(comments=[*others, mine])
    assert pull_request.comment("again") == 0
    assert len(pull_request.comments) == 251
    assert pull_request.comments[-1]["body"].splitlines()[1] == "again"


def test_no_comment_is_posted_if_listing_fails_or_the_file_is_empty(
    pull_request: PullRequest,
) -> None:
    assert pull_request.comment("") == 0
    pull_request.set(fail=["list"])
    assert pull_request.comment("mine") != 0
    assert pull_request.comments == []
