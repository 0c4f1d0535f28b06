"""Tutorials run as they are written: their notebooks with a real kernel, their pages command by command."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest

from tests import quick_host

_TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"


@pytest.fixture(autouse=True)
def _edgeprune_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


def _text(outputs: list[nbformat.NotebookNode]) -> list[str]:
    return [line.rstrip() for line in "".join(output.text for output in outputs).splitlines()]


def _blocks(page: str, language: str) -> dict[str, str]:
    """Return the code blocks of a page that have a title, by title."""
    pattern = rf'```{language} title="([^"]+)"\n(.*?)```'
    return dict(re.findall(pattern, page, re.DOTALL))


def _commands(page: str) -> list[list[str]]:
    """Return the commands of EdgePrune in a page's indented blocks, in order."""
    text = re.sub(r"\\\n\s*", " ", page)
    return [shlex.split(line) for line in re.findall(r"^    (edgeprune .*)$", text, re.MULTILINE)]


def _run(command: list[str], folder: Path) -> int:
    return subprocess.run(command, cwd=folder, check=False, timeout=900, stdout=subprocess.DEVNULL).returncode


@pytest.mark.filterwarnings("ignore")  # of Jupyter's packages
@pytest.mark.parametrize("name", ["microcontroller", "latency-budget"])
def test_notebook_runs_and_repeats_its_stored_outputs(name: str, tmp_path: Path) -> None:
    quick_host.write(tmp_path)
    notebook = nbformat.read(_TUTORIALS / f"{name}.ipynb", as_version=4)
    stored = [cell.get("outputs") for cell in notebook.cells]
    nbclient.NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    for cell, outputs in zip(notebook.cells, stored, strict=True):
        if outputs:
            assert _text(cell.outputs) == _text(outputs)


def test_tutorial_of_the_first_network_builds_its_bundle(tmp_path: Path) -> None:
    page = (_TUTORIALS / "first-network.md").read_text(encoding="utf-8")
    for title, code in _blocks(page, "python").items():
        (tmp_path / title).write_text(code, encoding="utf-8")
    assert _run([sys.executable, "random_samples.py"], tmp_path) == 0
    inspect, build, profile = _commands(page)[:3]
    assert _run(inspect, tmp_path) == 0
    assert _run([*build, "--epochs", "1"], tmp_path) == 0
    bundle = tmp_path / profile[2]
    assert (bundle / "report.html").is_file()
    assert _run([sys.executable, "run.py"], bundle) == 0
    assert _run([sys.executable, str(tmp_path / "my_program.py")], bundle) == 0


def test_tutorial_of_limits_ends_with_the_exit_codes_it_names(tmp_path: Path) -> None:
    quick_host.write(tmp_path)
    page = (_TUTORIALS / "gates.md").read_text(encoding="utf-8")
    faster = {"build": ["--set", "prune.samples=64"]}
    codes = [_run([*command, *faster.get(command[1], [])], tmp_path) for command in _commands(page)]
    assert codes == [0, 0, 4, 0, 0, 4]
