"""A disk that is full: exit 1, a clear message, and the earlier bundle as it was."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

# The system refuses to write past a file's size limit as it refuses to write to a full disk: OSError in mid-write.
_LIMITED = (
    "import resource\n"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
    "from edgeprune.cli import main\n"
    "main()\n"
)
_ARGUMENTS = ["build", "digits", "--epochs", "1"]


def _bundle(folder: Path) -> dict[str, str]:
    files = (path for path in sorted((folder / "dist").rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.long
def test_a_full_disk_ends_with_1_and_leaves_the_earlier_bundle(tmp_path: Path) -> None:
    whole = [sys.executable, "-c", "from edgeprune.cli import main; main()", *_ARGUMENTS]
    subprocess.run(whole, cwd=tmp_path, check=True, capture_output=True, timeout=1500)
    before = _bundle(tmp_path)
    assert before
    limited = [sys.executable, "-c", _LIMITED, *_ARGUMENTS, "--seed", "1"]
    ended = subprocess.run(limited, cwd=tmp_path, capture_output=True, text=True, timeout=1500, check=False)
    assert ended.returncode == 1
    assert ended.stderr.count("error: ") == 1
    assert "File too large" in ended.stderr
    assert "earlier bundles are intact" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert _bundle(tmp_path) == before
    ended = subprocess.run([*whole, "--seed", "1"], cwd=tmp_path, capture_output=True, check=False, timeout=1500)
    assert ended.returncode == 0
    assert _bundle(tmp_path) != before
