"""Inputs of a build: content digests of the user's code, weights and data.

Without a record of an earlier build, network and data are loaded once under a ``FileRecorder``. The record stores the
files that were read, the folders that were listed, and the digests of the inputs. If all of them are unchanged, a later
build takes the digests from the record and loads nothing. Otherwise the inputs are loaded again. If the data are the
same nevertheless, their digest and the cached results remain valid. Settings that name code, such as the criterion, are
checked when the inputs are loaded: if they changed, the inputs are loaded again.

Data in memory are identified by the files that Python opened and by the samples. Other data are read later, so every
file of the data folder, and of the folders that were listed or read from, counts as read. Documents that were not read,
such as a README, never count.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgeprune import files
from edgeprune.config import Recipe
from edgeprune.config.setting_types import is_onnx_file
from edgeprune.pipeline import lock_file
from edgeprune.pipeline.file_recorder import FileRecorder, recording
from edgeprune.pipeline.fingerprint import Hashes, digest, packages
from edgeprune.pipeline.import_closure import ImportClosure, is_installed, relative_name
from edgeprune.pipeline.input_digests import OWN_SOURCE, Inputs
from edgeprune.pipeline.onnx_inputs import OnnxFiles
from edgeprune.pipeline.stage_sources import all_sources

if TYPE_CHECKING:
    from edgeprune.model.data import Data

_SCHEMA = 1
_DOCUMENTS = (".md", ".rst", ".txt", ".pdf", ".html", ".tmp", ".log")
_DOCUMENT_NAMES = ("readme", "license", "licence", "changelog", "thumbs.db")
_CHECKED = {"criterion", "criterion_options", "selection", "selection_options", "repair"}


@dataclass(frozen=True)
class _Record:
    """Inputs of an earlier build, and the conditions under which they are unchanged.

    Attributes:
        inputs: Inputs of that build.
        code: Digest of the user's code by its static closure.
        read: SHA-256 of each file that was read, None where it did not exist; by absolute path.
        listed: Digest of the names in each folder that was listed, by absolute path.
        folder: Digest of the data folder without documents; None without a data folder.
        checked: Digest of the settings that were checked when the inputs were loaded.
    """

    inputs: Inputs
    code: str
    read: Mapping[str, str | None]
    listed: Mapping[str, str | None]
    folder: str | None
    checked: str

    @staticmethod
    def load(path: Path) -> _Record | None:
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            return _Record(**{**stored["record"], "inputs": Inputs(**stored["record"]["inputs"])})
        except (OSError, ValueError, KeyError, TypeError):  # written by another version, or damaged: loaded again
            return None

    def save(self, path: Path) -> None:
        files.write_atomic(path, json.dumps({"schema": _SCHEMA, "record": asdict(self)}, indent=1))


class InputTracker:
    """Tracker of the inputs of one build.

    Args:
        recipe: The recipe of the build.
        root: Folder of the cache.

    Attributes:
        changes: Differences from the earlier build of this recipe, one sentence each; set by ``resolve``.
    """

    def __init__(self, recipe: Recipe, root: Path) -> None:
        self._recipe = recipe
        self._hashes = Hashes(root / "hashes.json")
        data_dir = None if recipe.data_dir is None else Path(os.path.abspath(recipe.data_dir))  # noqa: PTH100
        self._data_dir = data_dir if data_dir is not None and data_dir.is_dir() else None
        specs = _specs(recipe)
        place = [specs, str(recipe.folder), str(recipe.data_dir), str(Path.cwd())]
        self._path = root / "inputs" / f"{recipe.name}-{digest(place)[:16]}.json"
        closures = {name: _sources(spec, recipe.folder) for name, spec in specs.items()}
        # Settings that ``load_inputs`` checks besides code and data: if they change, it runs again, before any stage.
        self._checked = digest(
            [
                recipe.prune.model_dump(mode="json", include=_CHECKED),
                recipe.schedule.model_dump(mode="json"),
                recipe.training.trains,
                recipe.model.rewind_weights,
            ]
        )
        self._code = {path for closure in closures.values() for path in closure.files}
        self._parts = {name: closure.digests(self._hashes, recipe.folder) for name, closure in closures.items()}
        self.changes: list[str] = []

    def resolve(self, load: Callable[[], Data]) -> Inputs:
        """Return the current inputs.

        Args:
            load: Function that imports the user's code and loads network and data. It is called if there is no valid
                record of an earlier build.
        """
        record = _Record.load(self._path)
        inputs = self._recorded_inputs(record)
        if inputs is None:
            with recording() as recorder:
                data = load()
            inputs = self._loaded_inputs(recorder, data)
        self.changes = inputs.changes(record.inputs) if record is not None else []
        self._hashes.save()
        return inputs

    def unloaded(self) -> Inputs | None:
        """Return the current inputs without loading or storing anything; None if they must be loaded.

        ``changes`` then has the differences in files that the earlier build of this recipe read.
        """
        record = _Record.load(self._path)
        if record is None:
            return None
        if self._is_current(record):
            inputs = self._inputs(record.inputs.parts["data"], record.inputs.digests["data"])
        else:
            read = {self._name(Path(path)): self._file(Path(path)) for path in record.read}
            data = {**record.inputs.parts["data"], **{name: content or "" for name, content in read.items()}}
            is_same = data == record.inputs.parts["data"] and record.folder == self._folder_digest()
            inputs = self._inputs(data, record.inputs.digests["data"] if is_same else None)
        self.changes = inputs.changes(record.inputs)
        if not self.changes and record.checked != self._checked:
            self.changes = ["settings of pruning or of the schedule changed"]
        return inputs if self._is_current(record) else None

    def _recorded_inputs(self, record: _Record | None) -> Inputs | None:
        """Return the inputs of ``record`` with new hashes of the weights; None if anything else changed."""
        if record is None or not self._is_current(record):
            return None
        return self._saved(self._inputs(record.inputs.parts["data"], record.inputs.digests["data"]), record)

    def _is_current(self, record: _Record) -> bool:
        """Return whether ``record`` holds for everything except the weights."""
        return (
            record.code == digest(self._parts)
            and record.folder == self._folder_digest()
            and record.checked == self._checked
            and all(self._file(Path(path)) == content for path, content in record.read.items())
            and all(_names(Path(path)) == names for path, names in record.listed.items())
        )

    def _loaded_inputs(self, recorder: FileRecorder, data: Data) -> Inputs:
        """Return the inputs that were just loaded, and store their record."""
        from edgeprune.model.data_digest import data_digest, read_some

        samples = data_digest(data)
        if samples is None:
            with recording() as later:
                read_some(data)
            recorder.read |= later.read
            recorder.listed |= later.listed
        other_inputs = {*self._weights().values(), *self._code}
        read = [path for path in recorder.existing() if path.resolve() not in other_inputs]
        parts = {self._name(path): self._hashes.file(path) for path in read}
        listed = [path for path in sorted(recorder.listed) if not is_installed(path)]
        if samples is None:
            folders = {*listed, *(path.parent for path in read if not is_installed(path) and path.suffix != ".py")}
            suffixes = {path.suffix.lower() for path in read}
            paths = [*self._folder_files(), *(path for folder in folders for path in _files_in(folder))]
            parts |= {self._name(path): self._hashes.file(path) for path in paths if not _is_document(path, suffixes)}
        content = digest({"files": parts, "samples": samples})
        record = _Record(
            inputs=Inputs({"data": content}, {"data": parts}),
            code=digest(self._parts),
            read={str(path): self._file(path) for path in (*read, *recorder.missing())},
            listed={str(path): _names(path) for path in listed},
            folder=self._folder_digest(),
            checked=self._checked,
        )
        return self._saved(self._inputs(parts, content), record)

    def _inputs(self, data: Mapping[str, str], content: str | None) -> Inputs:
        weights = {name: path for name, path in self._weights().items() if path is not None}
        hashes = {name: {path.name: self._hashes.file(path)} for name, path in weights.items()}
        digests = {name: digest(parts) if parts else None for name, parts in self._parts.items()}
        return Inputs(
            {**digests, **{name: next(iter(parts.values())) for name, parts in hashes.items()}, "data": content},
            {**self._parts, **hashes, "data": dict(data)},
            {OWN_SOURCE: digest(all_sources()), **packages()},
        )

    def _saved(self, inputs: Inputs, record: _Record) -> Inputs:
        """Store ``inputs`` in the record, and return them."""
        replace(record, inputs=inputs).save(self._path)
        return inputs

    def _weights(self) -> dict[str, Path | None]:
        paths = {"weights": self._recipe.weights_path, "rewind_weights": self._recipe.rewind_weights_path}
        return {name: path.resolve() if path is not None and path.is_file() else None for name, path in paths.items()}

    def _file(self, path: Path) -> str | None:
        return self._hashes.file(path) if path.is_file() else None

    def _folder_files(self) -> list[Path]:
        """Return all files of the data folder except weights."""
        weights = set(self._weights().values())
        paths = () if self._data_dir is None else self._data_dir.rglob("*")
        return [path for path in paths if path.is_file() and path.resolve() not in weights]

    def _folder_digest(self) -> str | None:
        """Return the digest of the data folder without documents. Documents that were read are in ``_Record.read``."""
        if self._data_dir is None:
            return None
        paths = [path for path in self._folder_files() if not _is_document(path)]
        return digest({self._name(path): self._hashes.file(path) for path in paths})

    def _name(self, path: Path) -> str:
        """Return a name that does not depend on the location of the project."""
        if self._data_dir is not None and path.is_relative_to(self._data_dir):
            return f"{self._data_dir.name}/{path.relative_to(self._data_dir).as_posix()}"
        return relative_name(path, self._recipe.folder, Path.cwd())


def _specs(recipe: Recipe) -> dict[str, str]:
    """Return the names of the user's code objects and ONNX files, by purpose."""
    training = recipe.training
    specs = {
        "factory": recipe.model.factory,
        "function": recipe.data.function,
        "loss": training.loss,
        "step": training.step,
        "metric": training.metric,
        "criterion": recipe.prune.criterion,
        "selection": recipe.prune.selection,
        "schedule": recipe.schedule.name,
    }
    return {name: spec for name, spec in specs.items() if spec is not None and (":" in spec or is_onnx_file(spec))}


def _sources(spec: str, folder: Path) -> ImportClosure | OnnxFiles:
    """Return the files that an object of the user, or an ONNX file, consists of."""
    return OnnxFiles(folder / spec) if is_onnx_file(spec) else ImportClosure(spec, folder)


def _names(folder: Path) -> str | None:
    """Return the digest of the names in a folder; None if the folder does not exist."""
    return digest(sorted(path.name for path in folder.iterdir())) if folder.is_dir() else None


def _files_in(folder: Path) -> Iterable[Path]:
    return (path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else ()


def _is_document(path: Path, read_suffixes: Iterable[str] = ()) -> bool:
    """Return whether a file is hidden, Python code or a document of a type that was not read."""
    suffix = path.suffix.lower()
    if path.name.startswith(".") or path.name == lock_file.NAME or suffix in (".py", ".pyc"):
        return True
    return suffix not in read_suffixes and (suffix in _DOCUMENTS or path.stem.lower() in _DOCUMENT_NAMES)
