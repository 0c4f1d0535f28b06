"""Checks of targets: whether this machine can build for each, with the same version of its runtime."""

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
    """Check every available target."""
    for name, path in Target.available().items():
        yield _target(name, path)


def _target(name: str, path: Path) -> Finding:
    try:
        target = Target.load(path)
        backend = backends.for_target(target)
    except TargetError as problem:
        return Finding(name, "bad", str(problem), f"edgeprune targets show {file_lookup.display_path(path)}")
    runtime = target.runtime
    package = backend.package or backend.host.package
    assert package is not None
    version = installed(package)
    if version is None:
        state: State = "bad" if backend.extra is None else "absent"
        return Finding(
            name, state, f"{package} is not installed, but runs the files of this target", install_line(package)
        )
    if backend.package is None:
        message = f"files are exported and checked on this machine ({package} {version}); the board builds the engine"
        return Finding(name, "ok", message)
    if not runtime.versions or SpecifierSet(runtime.versions).contains(version, prereleases=True):
        return Finding(name, "ok", f"{package} {version}" + (f" ({runtime.versions})" if runtime.versions else ""))
    message = (
        f"{package} {version} differs from the version on the board ({runtime.versions}): outputs may differ from the "
        "board"
    )
    return Finding(name, "bad", message, install_line(f"{package}{runtime.versions}"))
