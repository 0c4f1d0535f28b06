"""Collection of a bundle's provenance: package versions, input hashes and the Git commit."""

from __future__ import annotations

import importlib.metadata
import logging
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from subprocess import TimeoutExpired

from edgeprune import subprocesses
from edgeprune.bundle.manifest import Git, Provenance

logger = logging.getLogger(__name__)

_GIT_TIMEOUT_S = 10


def collect(*, packages: Iterable[str], seed: int, inputs: Mapping[str, str], folder: Path) -> Provenance:
    """Return the provenance of a bundle that this installation builds.

    Args:
        packages: Names of the distributions to record; those that are not installed are omitted.
        seed: Random seed of the recipe.
        inputs: SHA-256 of the inputs by name.
        folder: Folder of the recipe; its Git commit is recorded if it is in a repository.
    """
    return Provenance(
        packages={name: version for name in sorted(packages) if (version := _version(name)) is not None},
        python=platform.python_version(),
        seed=seed,
        inputs=dict(sorted(inputs.items())),
        git=git_state(folder),
    )


def git_state(folder: Path) -> Git | None:
    """Return the Git commit of ``folder`` and whether tracked files differ from it; None without a commit."""
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    if not commit:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return Git(commit=commit, dirty=changes != "")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        process = subprocesses.run(["git", "-C", str(folder), *arguments], timeout_s=_GIT_TIMEOUT_S)
    except (OSError, TimeoutExpired) as problem:
        logger.info("no git state: %s", problem)
        return None
    return process.stdout.strip() if process.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
