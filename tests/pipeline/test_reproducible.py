"""The same recipe gives the same bytes in another folder, for another user, in another time zone."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from edgeprune.config import Recipe
from tests import quick_host

pytestmark = pytest.mark.long

_TARGETS = ("host", "jetson-orin-nano")
_EPOCH = 1_700_000_000


def build(folder: Path, recipe: Path, *, umask: int, **environment: str) -> Path:
    """Build a copy of the digits for two targets in a process of its own; the folder of the bundles."""
    arguments = [
        "build",
        str(recipe),
        "--epochs",
        "1",
        "--set",
        "prune.samples=64",
        *(word for name in _TARGETS for word in ("--target", name)),
    ]
    quick_host.write(folder)
    home = folder / "home"
    home.mkdir()
    ended = subprocess.run(
        [sys.executable, "-m", "edgeprune", *arguments],
        cwd=folder, umask=umask, capture_output=True, text=True, check=False,
        env={**os.environ, "HOME": str(home), "SOURCE_DATE_EPOCH": str(_EPOCH), **environment},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return folder / "dist"


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 by path of all that repeats."""
    measured = {"measured.json", *json.loads((folder / "measured.json").read_text())["files"]}
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in measured)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_two_builds_are_the_same_byte_for_byte(tmp_path: Path) -> None:
    packaged = Recipe.load("digits").folder
    first, second = tmp_path / "first", tmp_path / "another" / "place"
    one = shutil.copytree(packaged, first / "recipes" / "digits")
    two = shutil.copytree(packaged, second / "of" / "mine" / "digits")
    result = build(first, one, umask=0o022, TZ="UTC", USER="one", PYTHONHASHSEED="1", LC_ALL="C")
    # What was measured goes along with the recipe, as it does in a repository.
    shutil.copy(one / "edgeprune.lock", two)
    again = build(second, two, umask=0o077, TZ="Asia/Kathmandu", USER="two", PYTHONHASHSEED="2", LC_ALL="C.UTF-8")
    for target in _TARGETS:
        name = f"digits-{target}"
        actual = digests(result / name)
        assert {"manifest.json", "plan.json", "weights.safetensors", "run.py"} <= actual.keys()
        assert digests(again / name) == actual
        archives = [(folder / f"{name}.tar.gz").read_bytes() for folder in (result, again)]
        assert archives[0] == archives[1]
        with tarfile.open(result / f"{name}.tar.gz") as archive:
            assert {(member.mtime, member.uid, member.uname) for member in archive} == {(_EPOCH, 0, "")}
    assert (one / "edgeprune.lock").read_bytes() == (two / "edgeprune.lock").read_bytes()
    # Where the bundle was built is in none of its files.
    for path in (result / "digits-host").rglob("*"):
        if path.is_file() and path.name not in ("profile.json", "report.html"):
            assert str(tmp_path).encode() not in path.read_bytes(), path
