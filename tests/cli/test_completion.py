"""Completion of commands, options and names in shells."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from edgeprune.cli import root_command


def _completions(*words: str, text: str = "") -> set[str]:
    complete = ShellComplete(root_command, {}, "edgeprune", "_EDGEPRUNE_COMPLETE")
    return {item.value for item in complete.get_completions(list(words), text)}


@pytest.mark.parametrize(
    ("words", "text", "expected"),
    [
        ([], "in", {"init", "inspect"}),
        (["build"], "--tar", {"--target"}),
        (["build"], "dig", {"digits"}),
        (["build", "--target"], "raspberry-pi-z", {"raspberry-pi-zero-2w"}),
        (["lint", "--target"], "nucleo", {"nucleo-l4r5zi"}),
        (["build", "--criterion"], "tay", {"taylor", "taylor2"}),
        (["build", "--selection"], "k", {"knapsack"}),
        (["build", "--schedule"], "it", {"iterative"}),
        (["compare", "a", "b", "--undecided"], "p", {"pass"}),
        (["targets"], "jetson-x", {"jetson-xavier-nx"}),
        (["criteria"], "fi", {"fisher"}),
        (["schedules", "show"], "gra", {"gradual"}),
    ],
)
def test_names_are_completed(words: list[str], text: str, expected: set[str]) -> None:
    assert _completions(*words, text=text) == expected


def test_names_of_the_working_folder_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes" / "flowers").mkdir(parents=True)
    (tmp_path / "recipes" / "flowers" / "recipe.toml").touch()
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "kitchen.toml").touch()
    assert _completions("build", text="flo") == {"flowers"}
    assert _completions("build", "--target", text="kit") == {"kitchen"}


@pytest.mark.parametrize(
    ("words", "expected"), [("edgeprune build --crit", "--criterion"), ("edgeprune rec", "recipes")]
)
def test_bash_completes_without_heavy_packages(words: str, expected: str) -> None:
    code = (
        "import sys\nfrom edgeprune.cli import run\nexit_code = run([])\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'numpy', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy\nassert exit_code == 0\n"
    )
    environment = {
        **os.environ,
        "_EDGEPRUNE_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"plain,{expected}\n"
