"""Run of a script for one network in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

_MOST_CHARACTERS = 300


def run_row(script: str, argv: Sequence[str], *, limit_s: int) -> dict[str, Any]:
    """Return the row that ``script`` prints as JSON in its last line, or its failure as ``error``."""
    try:
        process = subprocess.run(
            [sys.executable, script, *argv], capture_output=True, text=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        return {"error": f"not finished after {limit_s} s"}
    if process.returncode:
        lines = process.stderr.strip().splitlines()
        return {"error": lines[-1][:_MOST_CHARACTERS] if lines else f"exit code {process.returncode}"}
    values: dict[str, Any] = json.loads(process.stdout.strip().splitlines()[-1])
    return values
