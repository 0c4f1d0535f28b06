"""Checks of Python and its packages: installed, of a supported version, and importable."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from edgeprune import subprocesses
from edgeprune.config.settings_base import read_toml
from edgeprune.doctor.base import Finding, check
from edgeprune.errors import InputError
from edgeprune.extras import MODULES

_IMPORT_S = 120
_PROJECT = Path(__file__).parents[2] / "pyproject.toml"
_NATIVE = {
    "torch": "torch",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "onnxsim": "onnxsim",
    "scipy": "scipy.sparse",
    "scikit-learn": "sklearn.datasets",
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "ai-edge-quantizer": "ai_edge_quantizer",
    "tflite-micro": "tflite_micro",
    "ethos-u-vela": "ethosu",
}
"""Modules to import by package, for packages with native code, which may be installed but not load."""


@check("Python and packages", place=0)
def packages() -> Iterator[Finding]:
    """Check every requirement of EdgePrune for this version of Python."""
    required, python = requirements()
    version = platform.python_version()
    is_supported = python.contains(version)
    yield Finding("python", "ok" if is_supported else "bad", _against(version, python), None, needed=True)
    native = [requirement.name for requirement in required if requirement.name in _NATIVE]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = dict(zip(native, pool.map(_problem, map(_NATIVE.__getitem__, native)), strict=True))
    for requirement in required:
        yield _package(requirement, problems)


@check("Optional packages", place=1)
def optional_packages() -> Iterator[Finding]:
    """Check every requirement of the optional extras."""
    by_extra = optional()
    pairs = [
        (extra, requirement) for extra, extra_requirements in by_extra.items() for requirement in extra_requirements
    ]
    native = [one.name for _, one in pairs if one.name in _NATIVE and installed(one.name)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = dict(zip(native, pool.map(_problem, map(_NATIVE.__getitem__, native)), strict=True))
    for extra, requirement in pairs:
        if installed(requirement.name) is None:
            message = f"not installed; part of the extra {extra}"
            yield Finding(requirement.name, "absent", message, install_line(_line(requirement)))
        else:
            yield replace(_package(requirement, problems), needed=False)


def optional() -> dict[str, list[Requirement]]:
    """Return the requirements of each extra for this version of Python."""
    project = _checkout()
    if project is not None:
        lines = {extra: project.get("optional-dependencies", {}).get(extra, []) for extra in MODULES}
        by_extra = {extra: [Requirement(line) for line in extra_lines] for extra, extra_lines in lines.items()}
    else:
        all_requirements = [Requirement(line) for line in importlib.metadata.requires("edgeprune") or []]
        by_extra = {
            extra: [one for one in all_requirements if one.marker and not _holds(one, "") and _holds(one, extra)]
            for extra in MODULES
        }
    return {extra: [one for one in group if one.name != "edgeprune"] for extra, group in by_extra.items()}


def _holds(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _line(requirement: Requirement) -> str:
    """Return the requirement without its marker."""
    return f"{requirement.name}{requirement.specifier}"


def _checkout() -> dict[str, Any] | None:
    """Return the table ``project`` of this source checkout; None if EdgePrune was installed from a package."""
    project: dict[str, Any] = read_toml(_PROJECT, InputError).get("project", {}) if _PROJECT.is_file() else {}
    return project if project.get("name") == "edgeprune" else None


def requirements() -> tuple[list[Requirement], SpecifierSet]:
    """Return the requirements of EdgePrune and its Python versions, from the checkout or the installed metadata."""
    project = _checkout()
    if project is not None:
        lines, python = project["dependencies"], project["requires-python"]
    else:
        lines = importlib.metadata.requires("edgeprune") or []
        python = importlib.metadata.metadata("edgeprune")["Requires-Python"]
    applicable = [one for line in lines if _holds(one := Requirement(line), "")]
    return applicable, SpecifierSet(python)


def installed(name: str) -> str | None:
    """Return the version of a package; None if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def install_line(*packages: str) -> str:
    """Return the command that installs ``packages`` for this Python."""
    return shlex.join([sys.executable, "-m", "pip", "install", *packages])


def _package(requirement: Requirement, problems: Mapping[str, str | None]) -> Finding:
    name, version = requirement.name, installed(requirement.name)
    fix = install_line(str(requirement))
    if version is None:
        return Finding(name, "bad", f"not installed, needs {requirement.specifier}", fix, needed=True)
    if not requirement.specifier.contains(version, prereleases=True):
        return Finding(name, "bad", _against(version, requirement.specifier), fix, needed=True)
    if problem := problems.get(name):
        reinstall = install_line("--force-reinstall", str(requirement))
        return Finding(name, "bad", f"{version} cannot be imported: {problem}", reinstall, needed=True)
    return Finding(name, "ok", _against(version, requirement.specifier), needed=True)


def _against(version: str, allowed: SpecifierSet) -> str:
    return f"{version} ({allowed})"


def _problem(module: str) -> str | None:
    """Return the reason why ``module`` cannot be imported, or None.

    The import runs in a separate process, because an incompatible module may crash it.
    """
    try:
        process = subprocesses.run([sys.executable, "-c", f"import {module}"], timeout_s=_IMPORT_S)
    except TimeoutExpired:
        return f"it took more than {_IMPORT_S} s"
    if process.returncode == 0:
        return None
    if process.returncode < 0:
        return f"it was killed by signal {-process.returncode}"
    return (process.stderr.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
