"""What the README tells a newcomer to type works as it stands."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from edgeprune.cli import run
from edgeprune.config import Target

_ROOT = Path(__file__).parents[2]
_README = (_ROOT / "README.md").read_text(encoding="utf-8")


def _between(name: str) -> str:
    return _README.partition(f"<!-- {name} -->")[2].partition(f"<!-- /{name} -->")[0]


def test_readme_example_of_an_own_network_builds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = _between("example").partition("```python\n")[2].partition("```")[0]
    line = next(part for part in _README.split("\n\n") if part.lstrip().startswith("edgeprune build --model"))
    command = shlex.split(line.replace("\\\n", " "))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(code)
    (tmp_path / "photos").mkdir()
    images = torch.rand(200, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.save((images, torch.arange(200) % 10), tmp_path / "photos" / "samples.pt")
    names: dict[str, Any] = {}
    exec(code, names)
    torch.manual_seed(0)
    torch.save(names["make"]().state_dict(), tmp_path / "net.pt")
    assert run([*command[1:], "--epochs", "1", "--json"]) == 0
    manifest = json.loads(capsys.readouterr().out)["manifest"]
    assert manifest["budgets"][0]["ok"]
    assert manifest["target"] == "raspberry-pi-4"

    written, built = (line.split() for line in _README.splitlines() if "edgeprune" in line and " flowers" in line)
    assert run(written[1:]) == 0
    assert run([*built[1:], "--epochs", "1", "--dry-run"]) == 0


def test_readme_python_example_halves_the_macs() -> None:
    names: dict[str, Any] = {}
    exec(_between("python").partition("```python\n")[2].partition("```")[0], names)
    result = names["result"]
    assert result.after.macs <= result.before.macs / 2
    assert names["pruned"](names["x"]).shape == (1, 10)


def test_readme_names_every_target() -> None:
    table = _README.partition("## Targets")[2].partition("## ")[0]
    cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    names = [name for cell in cells for name in re.findall(r"`([^`]+)`", re.sub(r"\(.*?\)", "", cell))]
    assert sorted(names) == sorted(Target.names())


def test_readme_table_is_of_a_real_run() -> None:
    table = _between("table")
    for part in ("MACs", "parameters", "accuracy", "latency p50", "peak memory"):
        assert part in table


def test_readme_names_existing_files_only() -> None:
    assert len(_between("example").strip().splitlines()) - 2 <= 18
    for name in ("docs/architecture.md", "CHANGELOG.md", "scripts/demo", "scripts/test"):
        assert name in _README
        assert (_ROOT / name).exists()
