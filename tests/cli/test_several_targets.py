"""Several targets in one call: what they share runs once, one that fails stops no other, the worst exit code counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeprune.cli import run
from tests.cli.own import ARGUMENTS

pytestmark = pytest.mark.long

_PROFILE = "profile = {warmup = 1, runs = 6, blocks = 2}"
_EVERY = [*ARGUMENTS[: ARGUMENTS.index("--target")], "--target", "board.toml", "--target", "other.toml"]


@pytest.fixture
def other(own: Path) -> Path:
    """A second board beside the first, which wants channels in fours as that does, and is measured otherwise."""
    (own / "other.toml").write_text(f"name = 'other'\n{_PROFILE.replace('6', '8')}\n[onnx]\nopset = 18\n")
    return own


def test_shared_stages_run_once(other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # A limit of its own that holds anyway: the same units go, so the same network is trained.
    assert run([*_EVERY, "--target", "board.toml", "--budget", "other:params=1.0", "--json"]) == 0
    printed = capsys.readouterr()
    values = json.loads(printed.out)
    assert [one["target"] for one in values["targets"]] == ["board", "other"]
    assert values["exit_code"] == 0
    first, second = ({stage["name"] for stage in one["stages"] if not stage["cached"]} for one in values["targets"])
    assert {"load", "evaluate-dense", "score", "select", "train", "plan", "verify-equivalence", "evaluate"} <= first
    assert second == {
        "preflight", "candidates", "select", "plan", "export", "quantize", "parity", "profile", "choose",
        "evaluate-shipped", "bundle",
    }  # fmt: skip
    for name in ("board", "other"):
        assert (other / "dist" / f"net-make-{name}" / "model.onnx").is_file()
        assert f"\n{name}\n" in f"\n{printed.err}"
    one, two = (
        (other / "dist" / f"net-make-{name}" / "weights.safetensors").read_bytes() for name in ("board", "other")
    )
    assert one == two


def test_a_target_that_fails_stops_no_other(
    other: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = other / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    (other / "board.toml").write_text(f"name = 'board'\n{_PROFILE}\n[onnx]\nunsupported = ['Conv']\n")
    (other / "tight.toml").write_text(f"name = 'tight'\n{_PROFILE}\n")
    inputs = [*_EVERY, "--target", "tight.toml", "--epochs", "0", "--budget", "tight:file_bytes=100B"]
    assert run(inputs) == 4
    printed = capsys.readouterr()
    assert "error: board: " in printed.err
    assert "error: tight: budget missed: file_bytes is " in printed.err
    table = printed.out[printed.out.rindex("target ") :]
    codes = {cells[0]: cells[-1] for line in table.splitlines()[2:] if (cells := line.split())}
    assert codes == {"board": "3", "other": "0", "tight": "4"}
    assert not (other / "dist" / "net-make-board").exists()
    assert (other / "dist" / "net-make-tight" / "manifest.json").is_file()
    text = summary.read_text()
    assert "| board |" in text
    assert "net-make for other" in text
    assert "| file_bytes |" in text
    notes = [line for line in printed.err.splitlines() if line.startswith("::error title=edgeprune::")]
    assert len(notes) == 2
    assert "%0A" in notes[0] or "\n" not in notes[0]


def test_unknown_target_is_refused_before_the_first_build(other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*_EVERY, "--target", "hots"]) == 3
    assert "'host'" in capsys.readouterr().err
    assert not (other / ".edgeprune").exists()
