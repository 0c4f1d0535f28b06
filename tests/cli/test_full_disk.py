"""A disk that is full: exit 1, a clear message, and the earlier bundle as it was."""

from __future__ import annotations

import hashlib
import resource
from pathlib import Path

import pytest

from tests import processes, quick_host

pytestmark = pytest.mark.long

_ARGUMENTS = ("digits", "--epochs", "0", "--set", "prune.samples=64")


def _build_on_a_full_disk(*arguments: str) -> None:
    """Build where files end at 20 kB: the system refuses what follows as on a full disk, by OSError in mid-write."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    processes.build(*arguments)


def _bundle(folder: Path) -> dict[str, str]:
    files = (path for path in sorted((folder / "dist").rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_full_disk_ends_with_1_and_leaves_the_earlier_bundle(tmp_path: Path) -> None:
    quick_host.write(tmp_path)
    whole = processes.start(processes.build, *_ARGUMENTS, folder=tmp_path)
    whole.join(1500)
    assert whole.exitcode == 0
    before = _bundle(tmp_path)
    assert before
    limited = processes.start(_build_on_a_full_disk, *_ARGUMENTS, "--seed", "1", folder=tmp_path, log=tmp_path / "log")
    limited.join(1500)
    errors = (tmp_path / "log.err").read_text()
    assert limited.exitcode == 1
    assert errors.count("error: ") == 1
    assert "File too large" in errors
    assert "earlier bundles are intact" in errors
    assert "Traceback" not in errors
    assert _bundle(tmp_path) == before
    again = processes.start(processes.build, *_ARGUMENTS, "--seed", "1", folder=tmp_path)
    again.join(1500)
    assert again.exitcode == 0
    assert _bundle(tmp_path) != before
