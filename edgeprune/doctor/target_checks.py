"""Targets: whether this machine can build for them, and runs what they run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from packaging.specifiers import SpecifierSet

from edgeprune import backends
from edgeprune.config import Target, file_lookup
from edgeprune.doctor.base import Finding, State, check
from edgeprune.doctor.package_checks import install_line, installed
from edgeprune.errors import TargetError


@check("Targets", place=2)
def targets() -> Iterator[Finding]:
    """Every target that a build could name."""
    for name, path in Target.available().items():
        yield _target(name, path)


def _target(name: str, path: Path) -> Finding:
    try:
        target = Target.load(path)
        backend = backends.for_target(target)
    except TargetError as problem:
        return Finding(name, "bad", str(problem), f"edgeprune targets show {file_lookup.shown(path)}")
    runtime = target.runtime
    package = backend.package or backend.host.package
    assert package is not None
    found = installed(package)
    if found is None:
        state: State = "bad" if backend.extra is None else "absent"
        return Finding(name, state, f"{package} is not installed, which runs its files here", install_line(package))
    if backend.package is None:
        message = f"files are made and checked here ({package} {found}); the board builds the engine"
        return Finding(name, "ok", message)
    if not runtime.versions or SpecifierSet(runtime.versions).contains(found, prereleases=True):
        return Finding(name, "ok", f"{package} {found}" + (f" ({runtime.versions})" if runtime.versions else ""))
    message = f"{package} {found} is not what is there ({runtime.versions}): outputs here may not be those of the board"
    return Finding(name, "bad", message, install_line(f"{package}{runtime.versions}"))
