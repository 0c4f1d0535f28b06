"""Engines that are built on this machine, and the choice of their precision."""

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
    """Dependencies of an engine besides TensorRT: the board, the GPU, and its driver or the release of Jetson Linux."""
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
    """Precisions that the bundle's manifest names, the most precise first; without one that says it: all.

    It leaves out what lost too much accuracy or was not asked for, though TensorRT could build it all the same.
    """
    try:
        precision = json.loads((folder / "manifest.json").read_text())["precision"]
        named = {precision["shipped"], *precision["along"]}
    except (OSError, ValueError, KeyError, TypeError):
        return PRECISIONS
    return tuple(name for name in PRECISIONS if name.replace("fp", "float") in named)


class Prepared(NamedTuple):
    """An engine that can be run.

    Attributes:
        engine: The file.
        built: It was not there, or did not fit.
        precision: Of the engine.
        reason: Why this precision, for people to read.
    """

    engine: Path
    built: bool
    precision: str
    reason: str


class Builder:
    """trtexec on this machine, and what engines built here depend on."""

    def __init__(self) -> None:
        """Look for trtexec.

        Raises:
            EngineError: It is not there, tells no version or is too old.
        """
        program = find_trtexec()
        if program is None:
            raise EngineError(
                f"no trtexec on PATH nor at {USUAL_PLACE}: install TensorRT (JetPack: sudo apt install tensorrt)"
            )
        self.program = program
        self.version = find_version(program)
        self.device = describe_device()

    def forms(self, model: Path, precision: str | None = None) -> dict[str, Path]:
        """The ONNX file that each precision is built from, the most precise first.

        Args:
            model: One of these files; the others lie beside it.
            precision: This one alone; None: all that ship.

        Raises:
            EngineError: There is no such file.
        """
        wanted = shipped(model.parent) if precision is None else (precision,)
        files = {name: model.with_name(onnx_name(self.version, name, stem_of(model))) for name in wanted}
        found = {name: path for name, path in files.items() if path.is_file()}
        if not found:
            missing = ", ".join(dict.fromkeys(path.name for path in files.values()))
            raise EngineError(f"{model.parent} has no {missing}, which TensorRT {self.version} needs", exit_code=3)
        return found

    def prepare(
        self,
        model: Path,
        engines: Path,
        precision: str | None = None,
        *,
        force: bool = False,
        timeout_s: float = BUILD_TIMEOUT_S,
    ) -> Prepared:
        """The engine to run: of ``precision``, or None: of that which is the fastest here.

        For the latter the engines of all that ship are built and measured in turn, and what was found is kept as long
        as an engine is. One that cannot be built is left out, which the reason tells.

        Args:
            model: See ``forms``.
            engines: Folder for engines.
            precision: See above.
            force: Build, and choose, even if nothing changed.
            timeout_s: Of one build.

        Raises:
            EngineError: There is no file to build from, none can be built, or one that was built cannot be run.
        """
        forms = self.forms(model, precision)
        if precision is not None:
            built = self.build(forms[precision], precision, engines, force=force, timeout_s=timeout_s)
            return Prepared(*built, precision, "it was asked for")
        record_path = engines / f"{stem_of(model)}.choice.json"
        key = {name: self._key(onnx, name) for name, onnx in forms.items()}
        record = read_record(record_path)
        if not force and record.get("key") == key:
            chosen = str(record["precision"])
            return Prepared(*self.build(forms[chosen], chosen, engines, timeout_s=timeout_s), chosen, record["reason"])
        candidates, problems = {}, []
        for name, onnx in forms.items():
            say(f"TensorRT {self.version}, {name}, from {onnx.name}")
            try:
                candidates[name] = self.build(onnx, name, engines, force=force, timeout_s=timeout_s)
            except EngineError as problem:
                problems.append(f"there is no engine of {name}: {problem}")
        if not candidates:
            raise EngineError("; ".join(problems))
        found = self._measured_choice({name: engine for name, (engine, _) in candidates.items()})
        reason = "; ".join([found.reason, *problems])
        write_record(record_path, {"key": key, **found._asdict(), "reason": reason})
        return Prepared(*candidates[found.precision], found.precision, reason)

    def engine(self, path: Path, folder: Path, flags: Sequence[str]) -> Engine:
        """The built engine in the file ``path``; for the other arguments see ``Engine``."""
        return Engine(self.program, self.version, path, folder, flags)

    def _measured_choice(self, engines: Mapping[str, Path]) -> Choice:
        with tempfile.TemporaryDirectory(prefix="edgeprune-") as folder:
            flags = measure_flags(self.version)
            return choose({name: self.engine(path, Path(folder), flags).median_ms for name, path in engines.items()})

    def command(self, onnx: Path, precision: str, engines: Path) -> list[str]:
        """The command that ``build`` runs, but for temporary names."""
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
        """The engine of ``onnx`` in the folder ``engines``, and whether it had to be built.

        Raises:
            EngineError: trtexec fails or takes too long; earlier engines are as before.
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
                raise EngineError(f"trtexec ended well but wrote no engine; see {engine.with_suffix('.log')}")
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
        """A name for each device and version: TensorRT does not take a cache of another one."""
        made_for = json.dumps([self.device, self.version], sort_keys=True)
        return f"timing-{hashlib.sha256(made_for.encode()).hexdigest()[:12]}.cache"
