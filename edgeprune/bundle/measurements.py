"""``measured.json``: hashes of the files of a bundle that change from run to run, and verdicts on what they hold.

What a manifest is to the files that repeat, this is to the others: ``profile.json`` and all that shows timings. It lies
in the folder of the bundle, and neither in the manifest nor in the archive.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from edgeprune import files as whole_files
from edgeprune import input_files
from edgeprune.bundle import strict_json
from edgeprune.bundle.manifest import BudgetReport, FileEntry, Sha256
from edgeprune.bundle.schema_base import ManifestPart
from edgeprune.errors import BundleError

NAME = "measured.json"
SIGNED = ".sig"
"""Behind the name of a file: of the signature beside it."""


class Measurements(ManifestPart):
    """``measured.json``.

    Attributes:
        schema_version: The key ``schema``.
        manifest: SHA-256 of the manifest that it belongs to; None in bundles of before it was told.
        files: By path in the bundle.
        budgets: Verdicts on what was measured; those on all else are in the manifest.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    manifest: Sha256 | None = None
    files: dict[str, FileEntry] = Field(default_factory=dict)
    budgets: tuple[BudgetReport, ...] = ()

    def to_json(self) -> str:
        """The text of the file."""
        return json.dumps(self.model_dump(mode="json", by_alias=True), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def load(cls, folder: Path) -> Measurements:
        """That of the bundle ``folder``; without anything where there is none, as in an archive.

        Raises:
            BundleError: It is damaged, or of a newer schema.
        """
        file = folder / NAME
        try:
            content = input_files.read_bytes(file)
        except FileNotFoundError:
            return cls()
        except OSError as problem:
            raise BundleError(f"cannot read {file}: {problem.strerror}") from problem
        return cls.parse(content, where=str(file))

    @classmethod
    def parse(cls, content: bytes, *, where: str) -> Measurements:
        """Read the text of the file; ``where`` names it in messages.

        Raises:
            BundleError: It is damaged, or of a newer schema; names the key.
        """
        return strict_json.parse(cls, content, where=where)


def replace(folder: Path, contents: Mapping[str, str], verdicts: Sequence[BudgetReport] | None = None) -> None:
    """Write measured files of the bundle ``folder`` anew, each as a whole, and their hashes; they are not signed then.

    Args:
        folder: Of the bundle.
        contents: Text by path in the bundle.
        verdicts: On what was measured, in place of those there are; None leaves them.

    Raises:
        BundleError: ``measured.json`` is damaged.
        OSError: The folder cannot be written.
    """
    known = Measurements.load(folder)
    entries = dict(known.files)
    for path, content in contents.items():
        whole_files.write_atomic(folder / path, content)
        entries[path] = FileEntry(sha256=whole_files.sha256(folder / path), bytes=(folder / path).stat().st_size)
    budgets = known.budgets if verdicts is None else tuple(verdicts)
    updated = known.model_copy(update={"files": dict(sorted(entries.items())), "budgets": budgets})
    whole_files.write_atomic(folder / NAME, updated.to_json())
    (folder / f"{NAME}{SIGNED}").unlink(missing_ok=True)  # it was over the file of before
