"""Python and the packages: there, of a version that was tried, and they load."""

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
"""Packages with code for one kind of machine, which may be installed and not load; and the module that tells."""


@check("Python and packages", place=0)
def packages() -> Iterator[Finding]:
    """Every requirement of EdgePrune that holds on this Python."""
    wanted, python = requirements()
    version = platform.python_version()
    right = python.contains(version)
    yield Finding("python", "ok" if right else "bad", _against(version, python), None, needed=True)
    native = [requirement.name for requirement in wanted if requirement.name in _NATIVE]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = dict(zip(native, pool.map(_problem, map(_NATIVE.__getitem__, native)), strict=True))
    for requirement in wanted:
        yield _package(requirement, problems)


@check("Optional packages", place=1)
def optional_packages() -> Iterator[Finding]:
    """Every requirement of an extra; nobody needs all of them."""
    found = optional()
    pairs = [(extra, requirement) for extra, several in found.items() for requirement in several]
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
    """Requirements that hold on this Python, by the extra that they are of."""
    project = _checkout()
    if project is not None:
        lines = {extra: project.get("optional-dependencies", {}).get(extra, []) for extra in MODULES}
        read = {extra: [Requirement(line) for line in found] for extra, found in lines.items()}
    else:
        listed = [Requirement(line) for line in importlib.metadata.requires("edgeprune") or []]
        read = {
            extra: [one for one in listed if one.marker and not _holds(one, "") and _holds(one, extra)]
            for extra in MODULES
        }
    return {extra: [one for one in found if one.name != "edgeprune"] for extra, found in read.items()}


def _holds(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _line(requirement: Requirement) -> str:
    """The requirement without its marker."""
    return f"{requirement.name}{requirement.specifier}"


def _checkout() -> dict[str, Any] | None:
    """The table ``project`` of the checkout that this is; None where EdgePrune was installed."""
    project: dict[str, Any] = read_toml(_PROJECT, InputError).get("project", {}) if _PROJECT.is_file() else {}
    return project if project.get("name") == "edgeprune" else None


def requirements() -> tuple[list[Requirement], SpecifierSet]:
    """Requirements of EdgePrune and its Python version, from its checkout or else from its installed metadata."""
    project = _checkout()
    if project is not None:
        lines, python = project["dependencies"], project["requires-python"]
    else:
        lines = importlib.metadata.requires("edgeprune") or []
        python = importlib.metadata.metadata("edgeprune")["Requires-Python"]
    here = [one for line in lines if _holds(one := Requirement(line), "")]
    return here, SpecifierSet(python)


def installed(name: str) -> str | None:
    """The version of a package, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def install_line(*wanted: str) -> str:
    """The line that installs ``wanted`` for this Python."""
    return shlex.join([sys.executable, "-m", "pip", "install", *wanted])


def _package(requirement: Requirement, problems: Mapping[str, str | None]) -> Finding:
    name, found = requirement.name, installed(requirement.name)
    fix = install_line(str(requirement))
    if found is None:
        return Finding(name, "bad", f"not installed ({requirement.specifier} is needed)", fix, needed=True)
    if not requirement.specifier.contains(found, prereleases=True):
        return Finding(name, "bad", _against(found, requirement.specifier), fix, needed=True)
    if problem := problems.get(name):
        again = install_line("--force-reinstall", str(requirement))
        return Finding(name, "bad", f"{found} does not load: {problem}", again, needed=True)
    return Finding(name, "ok", _against(found, requirement.specifier), needed=True)


def _against(version: str, allowed: SpecifierSet) -> str:
    return f"{version} ({allowed})"


def _problem(module: str) -> str | None:
    """Why ``module`` does not load, or None. In a process of its own: what does not fit may end it."""
    try:
        ended = subprocesses.run([sys.executable, "-c", f"import {module}"], timeout_s=_IMPORT_S)
    except TimeoutExpired:
        return f"it took more than {_IMPORT_S} s"
    if ended.returncode == 0:
        return None
    if ended.returncode < 0:
        return f"it was killed by signal {-ended.returncode}"
    return (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1]
