"""Whether a bundle is what its manifest says."""

from __future__ import annotations

from pathlib import Path

from edgeprune import files
from edgeprune.bundle.manifest import Manifest
from edgeprune.errors import BundleError


def check(folder: Path) -> Manifest:
    """Hold every file of the bundle ``folder`` against its hash, and return the manifest.

    Raises:
        BundleError: The manifest is damaged, a file is missing, or has another content.
    """
    manifest = Manifest.load(folder)
    for path, entry in manifest.files.items():
        file = folder / path
        if not file.is_file() or not file.resolve().is_relative_to(folder.resolve()):
            raise BundleError(f"{folder} has no {path}, which is in its manifest: nothing of it is run")
        if files.sha256(file) != entry.sha256:
            raise BundleError(
                f"{file} is not the file that the manifest names: its sha256 differs; nothing of it is run"
            )
    return manifest
