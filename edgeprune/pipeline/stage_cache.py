"""Cache of stage results on disk. Entries are written atomically.

Layout of the root, usually ``.edgeprune/``::

    cache/<stage>-<key>/result.json   result of the stage, next to its files
    cache/<stage>-<key>/key.json      what the key was computed from, and the recipe and target, for 'build --dry-run'
    work/<stage>-<key>/out/           incomplete result; emptied when the stage starts, renamed when it is complete
    work/<stage>-<key>/keep/          checkpoints of an interrupted stage
    locks/<stage>-<key>               lock held while the stage runs, so that two builds do not compute the same result
    hashes.json                       content hashes of input files by path, size and modification time

The root can be removed at any time; the next build then runs all stages.
"""

from __future__ import annotations

import fcntl
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

from edgeprune import safe_json
from edgeprune.config import Recipe, Target
from edgeprune.files import sync
from edgeprune.pipeline.stage_result import ResultT

logger = logging.getLogger(__name__)

_RESULT = "result.json"
_KEY = "key.json"
_MAX_BYTES = 256 << 20


@dataclass(frozen=True)
class CachedResult(Generic[ResultT]):
    """Result of a completed stage.

    Attributes:
        result: Result, whose files are in the cache.
        seconds: Duration of the run that produced it.
    """

    result: ResultT
    seconds: float


@dataclass(frozen=True)
class EarlierRun:
    """Earlier run of a stage, whose result is in the cache.

    Attributes:
        origin: What the key of its result was computed from, and the names of the recipe and the target.
        seconds: Duration of the run.
    """

    origin: Mapping[str, Any]
    seconds: float


class Cache:
    """Cache of stage results, by entry name ``<stage>-<key>``."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def find(self, entry: str, kind: type[ResultT]) -> CachedResult[ResultT] | None:
        """Return the result of ``entry``, of class ``kind``; None if it does not exist or lacks files."""
        folder = self.root / "cache" / entry
        try:
            stored = safe_json.load(folder / _RESULT, max_bytes=_MAX_BYTES)
            cached = CachedResult(kind.from_json(stored["values"], folder), float(stored["seconds"]))
            return cached if stored["files"] == _sizes(folder) else None
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError) as problem:
            logger.warning("%s is damaged, so its stage runs again: %s", folder / _RESULT, problem)
            return None

    @contextmanager
    def locked(self, entry: str) -> Iterator[None]:
        """Hold the lock of ``entry``, after waiting for other builds. The system releases it when the process ends."""
        path = self.root / "locks" / entry
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                logger.warning("another build computes %s; waiting until it has finished", entry)
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def start(self, entry: str) -> tuple[Path, Path]:
        """Return an empty folder for the files of ``entry``, and its checkpoint folder. The lock must be held."""
        out, keep = self._work(entry) / "out", self.checkpoints(entry)
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        keep.mkdir(exist_ok=True)
        return out, keep

    def checkpoints(self, entry: str) -> Path:
        """Return the checkpoint folder of ``entry``, which remains if its stage is interrupted."""
        return self._work(entry) / "keep"

    def store(
        self, entry: str, result: ResultT, seconds: float, origin: Mapping[str, Any] | None = None
    ) -> CachedResult[ResultT]:
        """Store ``result`` with the files in the ``out`` folder, and remove the checkpoints.

        Args:
            entry: Name of the entry.
            result: Result of the stage.
            seconds: Duration of the run.
            origin: What the key was computed from, for ``latest_run``. None: not stored.
        """
        out = self._work(entry) / "out"
        seconds = round(seconds, 3)
        content = {"values": result.to_json(), "seconds": seconds, "files": _sizes(out)}
        (out / _RESULT).write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
        if origin is not None:
            (out / _KEY).write_text(json.dumps(origin, indent=1), encoding="utf-8")
        for path in out.rglob("*"):
            sync(path)
        sync(out)
        folder = self.root / "cache" / entry
        folder.parent.mkdir(exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        out.rename(folder)
        sync(folder.parent)
        shutil.rmtree(self._work(entry))
        return CachedResult(type(result).from_json(content["values"], folder), seconds)

    def latest_run(self, stage: str, recipe: Recipe, target: Target) -> EarlierRun | None:
        """Return the latest run of ``stage`` for the same recipe, on the same target if there is one."""
        latest = None
        files = (self.root / "cache").glob(f"{stage}-*/{_KEY}")
        for _, file in sorted(((file.stat().st_mtime_ns, file) for file in files), reverse=True):
            run = _earlier_run(file)
            # The pattern also matches stages whose names continue with a dash.
            if run is None or (run.origin.get("stage"), run.origin.get("recipe")) != (stage, recipe.name):
                continue
            if run.origin.get("target") == target.name:
                return run
            latest = latest or run
        return latest

    def expected_s(self, stage: str, recipe: Recipe, target: Target) -> float | None:
        """Return the duration of the ``latest_run`` in seconds; None if there is none."""
        run = self.latest_run(stage, recipe, target)
        return None if run is None else run.seconds

    def _work(self, entry: str) -> Path:
        return self.root / "work" / entry


def _earlier_run(file: Path) -> EarlierRun | None:
    """Return the run that wrote the ``key.json`` ``file``; None if it is damaged."""
    try:
        origin = safe_json.load(file, max_bytes=_MAX_BYTES)
        result = safe_json.load(file.with_name(_RESULT), max_bytes=_MAX_BYTES)
        return EarlierRun(dict(origin), float(result["seconds"]))
    except (OSError, ValueError, TypeError, KeyError) as problem:
        logger.debug("%s is skipped: %s", file, problem)
        return None


def _sizes(folder: Path) -> dict[str, int]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in (_RESULT, _KEY))
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
