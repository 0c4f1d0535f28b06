"""ONNX file as the network of a build: its files, and the code that imports them."""

from __future__ import annotations

from pathlib import Path

from edgeprune.pipeline.fingerprint import Hashes, digest, packages
from edgeprune.pipeline.import_closure import relative_name
from edgeprune.pipeline.stage_sources import stage_sources

_IMPORTER = "edgeprune.onnx_import"


class OnnxFiles:
    """Files that the ONNX file ``path`` consists of. It has the interface of ``ImportClosure``.

    Attributes:
        files: The file and its external data, sorted; empty if it does not exist.
    """

    def __init__(self, path: Path) -> None:
        path = path.resolve()
        self.files: tuple[Path, ...] = ()
        if path.is_file():
            from edgeprune.export.onnx_loading import external_files

            self.files = tuple(sorted({path, *external_files(path)}))

    def digests(self, hashes: Hashes, base: Path) -> dict[str, str]:
        """Return the SHA-256 of each file by path relative to ``base``, of the importer, and versions of its packages.

        No stage depends on the importer otherwise, so that it changes nothing for networks from Python code.
        """
        importer = stage_sources(_IMPORTER, "")
        by_name = {relative_name(path, base): hashes.file(path) for path in self.files}
        return {**by_name, _IMPORTER: digest(importer.files), **packages(importer.imports)}
