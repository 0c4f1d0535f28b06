"""Location, version and execution of the program trtexec."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from edgeprune.backends.tensorrt.runner_parts.engine_errors import EngineError
from edgeprune.backends.tensorrt.runner_parts.trtexec_commands import Version

USUAL_PLACE = "/usr/src/tensorrt/bin/trtexec"
_OLDEST = Version(8, 5)
_QUERY_TIMEOUT_S = 60.0
_ERROR_LINES = 5


def find_trtexec() -> str | None:
    """Return the path of trtexec on PATH or at JetPack's location; None if it is not installed."""
    return shutil.which("trtexec") or (USUAL_PLACE if os.access(USUAL_PLACE, os.X_OK) else None)


def parse_banner(text: str) -> Version | None:
    """Parse TensorRT's version from the banner of trtexec: ``[TensorRT v8502]``, ``v100300``, ``v11.1.0.106``."""
    match = re.search(r"TensorRT\.trtexec \[TensorRT v(\d+(?:\.\d+)*)\]", text)
    return None if match is None else _version(match.group(1))


def parse_package(text: str) -> Version | None:
    """Parse TensorRT's version from that of a Debian package: ``10.3.0.26-1+cuda12.5``."""
    match = re.match(r"\s*(\d+\.\d+\.\d+)", text)
    return None if match is None else _version(match.group(1))


def _version(text: str) -> Version:
    if "." in text:
        return Version(*[*map(int, text.split(".")), 0][:3])
    number = int(text)
    if number >= 100000:  # from 10.0 on two digits each
        return Version(number // 10000, number // 100 % 100, number % 100)
    return Version(number // 1000, number // 100 % 10, number % 100)


def find_version(trtexec: str) -> Version:
    """Find TensorRT's version in the banner of ``trtexec --help``, or else from its package.

    Raises:
        EngineError: The version is unknown or older than 8.5.
    """
    version = parse_banner(query([trtexec, "--help"]))
    if version is None:
        version = parse_package(query(["dpkg-query", "--showformat=${Version}", "--show", "libnvinfer-bin"]))
    if version is None:
        raise EngineError(
            f"unknown version of TensorRT: {trtexec} does not print it, and the package libnvinfer-bin is not installed"
        )
    if version < _OLDEST:
        raise EngineError(f"TensorRT {version} is not supported: install 8.5 (JetPack 5.1) or newer")
    return version


def read_text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def query(argv: Sequence[str]) -> str:
    """Run a program and return its output; empty if it cannot be run."""
    try:
        completed = subprocess.run(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_QUERY_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return completed.stdout.decode(errors="replace")


def run_trtexec(argv: Sequence[str], *, log: Path, timeout_s: float) -> str:
    """Run trtexec, write its output to ``log`` and return it.

    Raises:
        EngineError: trtexec cannot start, fails, or takes longer than ``timeout_s``. The message has its error lines.
    """
    try:
        with open(str(log), "wb") as file:
            completed = subprocess.run(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=timeout_s,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise EngineError(f"trtexec did not finish within {timeout_s:g} s; its output is in {log}") from None
    except OSError as problem:
        raise EngineError(f"cannot run {argv[0]}: {problem}") from problem
    output = read_text(log)
    if completed.returncode != 0:
        lines = output.splitlines()
        error_lines = [line for line in lines if "[E]" in line or "Unknown option" in line] or lines
        result = f"signal {-completed.returncode}" if completed.returncode < 0 else f"exit code {completed.returncode}"
        raise EngineError(
            f"trtexec failed with {result}; its output is in {log}: " + " | ".join(error_lines[-_ERROR_LINES:])
        )
    return output
