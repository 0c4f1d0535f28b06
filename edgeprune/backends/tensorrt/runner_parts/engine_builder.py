"""Engine builds on this machine and the selection of their precision."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edgeprune.backends.tensorrt.runner_parts.choice import Choice, choose
from edgeprune.backends.tensorrt.runner_parts.engine import Engine
from edgeprune.backends.tensorrt.runner_parts.engine_errors import EngineError, say
from edgeprune.backends.tensorrt.runner_parts.engine_files import (
    engine_path,
    is_current,
    read_record,
    record_path,
    replace_file,
    sha256,
    stem_of,
    temporary,
    write_record,
)
from edgeprune.backends.tensorrt.runner_parts.trtexec_commands import (
    PRECISIONS,
    build_argv,
    measure_flags,
    onnx_name,
    precision_flags,
)
from edgeprune.backends.tensorrt.runner_parts.trtexec_program import (
    USUAL_PLACE,
    find_trtexec,
    find_version,
    query,
    read_text,
    run_trtexec,
)

BUILD_TIMEOUT_S = 3600.0


def describe_device(root: Path = Path("/")) -> dict[str, str | None]:
    """Describe what an engine depends on besides TensorRT: board, GPU, driver, and release of Jetson Linux."""
    model = read_text(root / "proc/device-tree/model").rstrip("\0\n")
    # "# R36 (release), REVISION: 4.3, GCID: ..., BOARD: generic, ..."
    release = re.match(r"# (R\d+) \(release\), REVISION: ([\d.]+)", read_text(root / "etc/nv_tegra_release"))
    smi = query(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]).splitlines()
    gpu, _, driver = smi[0].partition(", ") if smi and ", " in smi[0] else ("", "", "")
    return {
        "device": model or None,
        "gpu": gpu or None,
        "driver": driver or None,
        "l4t": f"{release.group(1)}.{release.group(2)}" if release else None,
    }


def shipped(folder: Path) -> tuple[str, ...]:
    """Return the precisions in the bundle's manifest, the most precise first; all precisions without a manifest.

    The manifest omits precisions that lost too much accuracy or were not requested, although TensorRT could build them.
    """
    try:
        precision = json.loads((folder / "manifest.json").read_text())["precision"]
        others = precision["along"] if "along" in precision else precision["other_precisions"]  # schema 1, or 2
        names = {precision["shipped"], *others}
    except (OSError, ValueError, KeyError, TypeError):
        return PRECISIONS
    return tuple(name for name in PRECISIONS if name.replace("fp", "float") in names)


class Prepared(NamedTuple):
    """Engine that is ready to run.

    Attributes:
        engine: Path of the engine file.
        built: Whether it was built now, because no current engine existed.
        precision: Precision of the engine.
        reason: Readable reason for this precision.
    """

    engine: Path
    built: bool
    precision: str
    reason: str


class Builder:
    """Builder of engines with trtexec on this machine."""

    def __init__(self) -> None:
        """Find trtexec and its version.

        Raises:
            EngineError: trtexec is not installed, its version is unknown, or it is too old.
        """
        program = find_trtexec()
        if program is None:
            raise EngineError(
                f"trtexec is not on PATH or at {USUAL_PLACE}: install TensorRT (JetPack: sudo apt install tensorrt)"
            )
        self.program = program
        self.version = find_version(program)
        self.device = describe_device()

    def onnx_files(self, model: Path, precision: str | None = None) -> dict[str, Path]:
        """Return the ONNX file from which each precision is built, the most precise first.

        Args:
            model: One of these files. The others are in the same folder.
            precision: Precision to return; None for all precisions of the bundle.

        Raises:
            EngineError: None of the files exists.
        """
        precisions = shipped(model.parent) if precision is None else (precision,)
        files = {name: model.with_name(onnx_name(self.version, name, stem_of(model))) for name in precisions}
        existing = {name: path for name, path in files.items() if path.is_file()}
        if not existing:
            missing = ", ".join(dict.fromkeys(path.name for path in files.values()))
            raise EngineError(
                f"{missing} of {model.parent} does not exist, but TensorRT {self.version} needs it", exit_code=3
            )
        return existing

    def prepare(
        self,
        model: Path,
        engines: Path,
        precision: str | None = None,
        *,
        force: bool = False,
        timeout_s: float = BUILD_TIMEOUT_S,
    ) -> Prepared:
        """Build and return the engine of ``precision``, or of the fastest precision on this device if it is None.

        For the latter, the engines of all precisions of the bundle are built and measured interleaved. The result is
        cached with the key of the engines. A precision that cannot be built is skipped, and the reason mentions it.

        Args:
            model: See ``onnx_files``.
            engines: Folder for engines.
            precision: Precision of the engine; None for the fastest.
            force: Whether to build and select again even if nothing changed.
            timeout_s: Time limit of one build in seconds.

        Raises:
            EngineError: No ONNX file exists, no engine can be built, or a built engine cannot be run.
        """
        onnx_by_precision = self.onnx_files(model, precision)
        if precision is not None:
            built = self.build(onnx_by_precision[precision], precision, engines, force=force, timeout_s=timeout_s)
            return Prepared(*built, precision, "it was asked for")
        record_path = engines / f"{stem_of(model)}.choice.json"
        key = {name: self._key(onnx, name) for name, onnx in onnx_by_precision.items()}
        record = read_record(record_path)
        if not force and record.get("key") == key:
            selected = str(record["precision"])
            engine = self.build(onnx_by_precision[selected], selected, engines, timeout_s=timeout_s)
            return Prepared(*engine, selected, record["reason"])
        candidates, problems = {}, []
        for name, onnx in onnx_by_precision.items():
            say(f"TensorRT {self.version}, {name}, from {onnx.name}")
            try:
                candidates[name] = self.build(onnx, name, engines, force=force, timeout_s=timeout_s)
            except EngineError as problem:
                problems.append(f"the engine for {name} failed: {problem}")
        if not candidates:
            raise EngineError("; ".join(problems))
        choice = self._measured_choice({name: engine for name, (engine, _) in candidates.items()})
        reason = "; ".join([choice.reason, *problems])
        write_record(record_path, {"key": key, **choice._asdict(), "reason": reason})
        return Prepared(*candidates[choice.precision], choice.precision, reason)

    def engine(self, path: Path, folder: Path, flags: Sequence[str]) -> Engine:
        """Return the built engine in the file ``path``. See ``Engine`` for the other arguments."""
        return Engine(self.program, self.version, path, folder, flags)

    def _measured_choice(self, engines: Mapping[str, Path]) -> Choice:
        with tempfile.TemporaryDirectory(prefix="edgeprune-") as folder:
            flags = measure_flags(self.version)
            return choose({name: self.engine(path, Path(folder), flags).median_ms for name, path in engines.items()})

    def command(self, onnx: Path, precision: str, engines: Path) -> list[str]:
        """Return the command that ``build`` runs, except for temporary file names."""
        return build_argv(
            self.program,
            self.version,
            precision,
            onnx=str(onnx),
            engine=str(engine_path(onnx, precision, engines)),
            timing_cache=str(engines / self._timing_cache()),
        )

    def build(
        self,
        onnx: Path,
        precision: str,
        engines: Path,
        *,
        force: bool = False,
        timeout_s: float = BUILD_TIMEOUT_S,
    ) -> tuple[Path, bool]:
        """Return the engine of ``onnx`` in the folder ``engines``, and whether it was built now.

        Raises:
            EngineError: trtexec fails or takes too long. Existing engines do not change.
        """
        engine = engine_path(onnx, precision, engines)
        key = self._key(onnx, precision)
        if not force and is_current(engine, key):
            return engine, False
        engines.mkdir(parents=True, exist_ok=True)
        cache = engines / self._timing_cache()
        with temporary(engine) as new_engine, temporary(cache) as new_cache:
            if cache.is_file():
                shutil.copyfile(str(cache), str(new_cache))
            argv = build_argv(
                self.program,
                self.version,
                precision,
                onnx=str(onnx),
                engine=str(new_engine),
                timing_cache=str(new_cache),
            )
            run_trtexec(argv, log=engine.with_suffix(".log"), timeout_s=timeout_s)
            if not new_engine.is_file() or new_engine.stat().st_size == 0:
                raise EngineError(f"trtexec succeeded, but did not write an engine; see {engine.with_suffix('.log')}")
            record = {"key": key, "engine_sha256": sha256(new_engine), "command": argv}
            replace_file(new_engine, engine)
            if new_cache.is_file():
                replace_file(new_cache, cache)
        write_record(record_path(engine), record)
        return engine, True

    def _key(self, onnx: Path, precision: str) -> dict[str, Any]:
        return {
            **self.device,
            "tensorrt": str(self.version),
            "onnx_sha256": sha256(onnx),
            "flags": precision_flags(self.version, precision),
        }

    def _timing_cache(self) -> str:
        """File name of the timing cache. It names device and version, because TensorRT rejects other caches."""
        key = json.dumps([self.device, self.version], sort_keys=True)
        return f"timing-{hashlib.sha256(key.encode()).hexdigest()[:12]}.cache"
