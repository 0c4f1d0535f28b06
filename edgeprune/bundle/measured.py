"""``measured.json``: hashes of the files of a bundle that change from run to run, and verdicts on what they hold.

What a manifest is to the files that repeat, this is to the others: ``profile.json`` and all that shows timings. It lies
in the folder of the bundle, and neither in the manifest nor in the archive.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from edgeprune import files as whole_files
from edgeprune.bundle.manifest import BudgetReport, FileEntry, Part
from edgeprune.errors import BundleError

NAME = "measured.json"


class Measured(Part):
    """``measured.json``.

    Attributes:
        schema_version: The key ``schema``.
        files: By path in the bundle.
        budgets: Verdicts on what was measured; those on all else are in the manifest.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    files: dict[str, FileEntry] = Field(default_factory=dict)
    budgets: tuple[BudgetReport, ...] = ()

    def to_json(self) -> str:
        """The text of the file."""
        return json.dumps(self.model_dump(mode="json", by_alias=True), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def load(cls, folder: Path) -> Measured:
        """That of the bundle ``folder``; without anything where there is none, as in an archive.

        Raises:
            BundleError: It is damaged, or of a newer schema.
        """
        file = folder / NAME
        try:
            return cls.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            return cls()
        except OSError as problem:
            raise BundleError(f"cannot read {file}: {problem.strerror}") from problem
        except ValidationError as problems:
            lines = (f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in problems.errors())
            raise BundleError(f"{file} cannot be read: {'; '.join(lines)}") from None


def replace(folder: Path, contents: Mapping[str, str], verdicts: Sequence[BudgetReport]) -> None:
    """Write measured files of the bundle ``folder`` anew, each as a whole, and the verdicts on them.

    Args:
        folder: Of the bundle.
        contents: Text by path in the bundle.
        verdicts: In place of those there are.
    """
    known = dict(Measured.load(folder).files)
    for path, content in contents.items():
        whole_files.write_atomic(folder / path, content)
        known[path] = FileEntry(sha256=whole_files.sha256(folder / path), bytes=(folder / path).stat().st_size)
    told = Measured(files=dict(sorted(known.items())), budgets=tuple(verdicts))
    whole_files.write_atomic(folder / NAME, told.to_json())
