"""``measured.json``: hashes of the files that change from run to run, and the budget results that depend on them.

The manifest lists the reproducible files of a bundle. ``measured.json`` lists the others: ``profile.json`` and all
files that show timings. It is stored in the folder of the bundle, and is part of neither the manifest nor the archive.
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
from edgeprune.bundle.budget_report import BudgetReport
from edgeprune.bundle.manifest import FileEntry, Sha256
from edgeprune.bundle.schema_base import ManifestPart
from edgeprune.errors import BundleError

NAME = "measured.json"
SIGNED = ".sig"
"""Suffix of a signature file, appended to the name of the signed file."""


class Measurements(ManifestPart):
    """``measured.json``.

    Attributes:
        schema_version: Version of the schema, stored under the key ``schema``.
        manifest: SHA-256 of the manifest of the same bundle; None in older bundles.
        files: Files that change from run to run, by path in the bundle.
        budgets: Results of the budgets on measured quantities; the manifest contains the others.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    manifest: Sha256 | None = None
    files: dict[str, FileEntry] = Field(default_factory=dict)
    budgets: tuple[BudgetReport, ...] = ()

    def to_json(self) -> str:
        """Return the text of the file."""
        return json.dumps(self.model_dump(mode="json", by_alias=True), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def load(cls, folder: Path) -> Measurements:
        """Load the measurements of the bundle ``folder``; they are empty if the file does not exist.

        Raises:
            BundleError: The file is damaged or has a newer schema.
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
        """Parse the text of the file; ``where`` is its path for messages.

        Raises:
            BundleError: The text is damaged or has a newer schema. The message names the key.
        """
        return strict_json.parse(cls, content, where=where)


def replace(folder: Path, contents: Mapping[str, str], budgets: Sequence[BudgetReport] | None = None) -> None:
    """Write measured files of the bundle ``folder`` atomically, update their hashes and remove their signature.

    Args:
        folder: Folder of the bundle.
        contents: Text of the files by path in the bundle.
        budgets: New results of the budgets on measured quantities; None keeps the existing ones.

    Raises:
        BundleError: ``measured.json`` is damaged.
        OSError: The folder cannot be written.
    """
    current = Measurements.load(folder)
    entries = dict(current.files)
    for path, content in contents.items():
        whole_files.write_atomic(folder / path, content)
        entries[path] = FileEntry(sha256=whole_files.sha256(folder / path), bytes=(folder / path).stat().st_size)
    updated_budgets = current.budgets if budgets is None else tuple(budgets)
    updated = current.model_copy(update={"files": dict(sorted(entries.items())), "budgets": updated_budgets})
    whole_files.write_atomic(folder / NAME, updated.to_json())
    (folder / f"{NAME}{SIGNED}").unlink(missing_ok=True)  # it is the signature of the previous file
