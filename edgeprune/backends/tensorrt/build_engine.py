#!/usr/bin/env python3
"""Builds a TensorRT engine from the ONNX files beside this script, on the board that will run it.

Needs Python 3.8 or newer, trtexec.py and choice.py beside it, and TensorRT's trtexec (JetPack: sudo apt install
tensorrt); nothing else.

    python build_engine.py                    every precision of the bundle, measured in turn: the fastest
    python build_engine.py --precision fp16
    python build_engine.py --show             print the commands of trtexec, run nothing

Prints the path of the engine. An engine fits one device, one driver, one version of TensorRT and one ONNX file: it is
kept with that key beside it, and built again when the key differs. So is the choice of the precision, with its figures,
in model.choice.json. The timing cache makes a second build quick.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING or __package__:
    from edgeprune.backends.tensorrt import choice, trtexec
    from edgeprune.backends.tensorrt.trtexec import EngineError
else:
    import choice
    import trtexec
    from trtexec import EngineError

_BUILD_TIMEOUT_S = 3600.0
_MEASURE_TIMEOUT_S = 600.0
_ROUND_S = 1
_CHUNK_BYTES = 1 << 20

WARM_UP_MS = 500


def describe_device(root: Path = Path("/")) -> dict[str, str | None]:
    """Dependencies of an engine besides TensorRT: the board, the GPU, and its driver or the release of Jetson Linux."""
    model = trtexec.read_text(root / "proc/device-tree/model").rstrip("\0\n")
    # "# R36 (release), REVISION: 4.3, GCID: ..., BOARD: generic, ..."
    release = re.match(r"# (R\d+) \(release\), REVISION: ([\d.]+)", trtexec.read_text(root / "etc/nv_tegra_release"))
    smi = trtexec.query(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]).splitlines()
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
        return trtexec.PRECISIONS
    return tuple(name for name in trtexec.PRECISIONS if name.replace("fp", "float") in named)


class Engine:
    """A built engine, and how it is measured.

    Attributes:
        flags: Of ``trtexec.measure_flags``.
        printed: What trtexec printed last.
    """

    def __init__(self, builder: Builder, path: Path, folder: Path, flags: Sequence[str]) -> None:
        self._builder = builder
        self._path = path
        self._folder = folder
        self.flags = flags
        self.printed = ""

    def run(self, *, warm_up_ms: int, duration_s: int, iterations: int) -> list[dict[str, float]]:
        """Run trtexec once; the times of each inference."""
        times = self._folder / "times.json"
        self._trtexec(times, warm_up_ms=warm_up_ms, duration_s=duration_s, iterations=iterations)
        return trtexec.read_times(times.read_text())

    def median_ms(self) -> float:
        """Median latency of a short run."""
        times = self.run(warm_up_ms=WARM_UP_MS, duration_s=_ROUND_S, iterations=10)
        return statistics.median(entry["latency_ms"] for entry in times)

    def layers(self) -> dict[str, Any]:
        """Time and description of each layer, as trtexec exports them."""
        profile, layers = self._folder / "profile.json", self._folder / "layers.json"
        self._trtexec(
            self._folder / "times.json",
            warm_up_ms=WARM_UP_MS,
            duration_s=_ROUND_S,
            iterations=10,
            profile=str(profile),
            layers=str(layers),
        )
        return {"profile": json.loads(profile.read_text()), "layers": json.loads(layers.read_text())}

    def outputs(self, sample: bytes) -> list[tuple[tuple[int, ...], list[float]]] | None:
        """Shape and values of each output for the raw values of one input, in the order of the network.

        None where trtexec does not tell the names, or there are several inputs.
        """
        given, got = self._folder / "input.bin", self._folder / "outputs.json"
        times, once = self._folder / "times.json", {"warm_up_ms": 0, "duration_s": 0, "iterations": 1}
        inputs, names = trtexec.parse_bindings(self.printed)
        if len(inputs) != 1 or not names:
            return None
        given.write_bytes(sample)
        if got.exists():
            got.unlink()
        self._trtexec(times, **once, inputs=f"{inputs[0]}:{given}", outputs=str(got))
        if not got.is_file():
            raise EngineError("trtexec ended well but exported no outputs")
        found = trtexec.read_outputs(got.read_text())
        return [found[name] for name in names] if set(names) == set(found) else None

    def _trtexec(self, times: Path, **settings: Any) -> None:
        if times.exists():
            times.unlink()
        argv = trtexec.measure_argv(
            self._builder.program, self._builder.version, str(self._path), str(times), flags=self.flags, **settings
        )
        timeout_s = _MEASURE_TIMEOUT_S + settings["duration_s"]
        self.printed = trtexec.run(argv, log=self._folder / "measure.log", timeout_s=timeout_s)
        if not times.is_file():
            raise EngineError("trtexec ended well but exported no times")


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
        program = trtexec.find_trtexec()
        if program is None:
            raise EngineError(
                f"no trtexec on PATH nor at {trtexec.USUAL_PLACE}: "
                "install TensorRT (JetPack: sudo apt install tensorrt)"
            )
        self.program = program
        self.version = trtexec.find_version(program)
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
        files = {name: model.with_name(trtexec.onnx_name(self.version, name, _stem(model))) for name in wanted}
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
        timeout_s: float = _BUILD_TIMEOUT_S,
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
        record_path = engines / f"{_stem(model)}.choice.json"
        key = {name: self._key(onnx, name) for name, onnx in forms.items()}
        record = _read_record(record_path)
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
        _write_record(record_path, {"key": key, **found._asdict(), "reason": reason})
        return Prepared(*candidates[found.precision], found.precision, reason)

    def _measured_choice(self, engines: Mapping[str, Path]) -> choice.Choice:
        with tempfile.TemporaryDirectory(prefix="edgeprune-") as folder:
            flags = trtexec.measure_flags(self.version)
            return choice.choose(
                {name: Engine(self, engine, Path(folder), flags).median_ms for name, engine in engines.items()}
            )

    def command(self, onnx: Path, precision: str, engines: Path) -> list[str]:
        """The command that ``build`` runs, but for temporary names."""
        return trtexec.build_argv(
            self.program,
            self.version,
            precision,
            onnx=str(onnx),
            engine=str(_engine_path(onnx, precision, engines)),
            timing_cache=str(engines / self._timing_cache()),
        )

    def build(
        self,
        onnx: Path,
        precision: str,
        engines: Path,
        *,
        force: bool = False,
        timeout_s: float = _BUILD_TIMEOUT_S,
    ) -> tuple[Path, bool]:
        """The engine of ``onnx`` in the folder ``engines``, and whether it had to be built.

        Raises:
            EngineError: trtexec fails or takes too long; earlier engines are as before.
        """
        engine = _engine_path(onnx, precision, engines)
        key = self._key(onnx, precision)
        if not force and _is_current(engine, key):
            return engine, False
        engines.mkdir(parents=True, exist_ok=True)
        cache = engines / self._timing_cache()
        with _temporary(engine) as new_engine, _temporary(cache) as new_cache:
            if cache.is_file():
                shutil.copyfile(str(cache), str(new_cache))
            argv = trtexec.build_argv(
                self.program,
                self.version,
                precision,
                onnx=str(onnx),
                engine=str(new_engine),
                timing_cache=str(new_cache),
            )
            trtexec.run(argv, log=engine.with_suffix(".log"), timeout_s=timeout_s)
            if not new_engine.is_file() or new_engine.stat().st_size == 0:
                raise EngineError(f"trtexec ended well but wrote no engine; see {engine.with_suffix('.log')}")
            record = {"key": key, "engine_sha256": sha256(new_engine), "command": argv}
            _replace(new_engine, engine)
            if new_cache.is_file():
                _replace(new_cache, cache)
        _write_record(_record_path(engine), record)
        return engine, True

    def _key(self, onnx: Path, precision: str) -> dict[str, Any]:
        return {
            **self.device,
            "tensorrt": str(self.version),
            "onnx_sha256": sha256(onnx),
            "flags": trtexec.precision_flags(self.version, precision),
        }

    def _timing_cache(self) -> str:
        """A name for each device and version: TensorRT does not take a cache of another one."""
        made_for = json.dumps([self.device, self.version], sort_keys=True)
        return f"timing-{hashlib.sha256(made_for.encode()).hexdigest()[:12]}.cache"


def sha256(path: Path) -> str:
    """Hex SHA-256 of the file's content."""
    digest = hashlib.sha256()
    with open(str(path), "rb") as file:
        for chunk in iter(lambda: file.read(_CHUNK_BYTES), b""):
            digest.update(chunk)
    return digest.hexdigest()


def _stem(onnx: Path) -> str:
    """The name that all forms of a network share."""
    return re.sub(r"(\.fp16|\.int8|\.int8-fp16)?\.onnx$", "", onnx.name)


def _engine_path(onnx: Path, precision: str, engines: Path) -> Path:
    return engines / f"{_stem(onnx)}.{precision}.engine"


def _record_path(engine: Path) -> Path:
    return engine.with_suffix(".engine.json")


def _is_current(engine: Path, key: Mapping[str, Any]) -> bool:
    record = _read_record(_record_path(engine))
    return record.get("key") == key and engine.is_file() and record["engine_sha256"] == sha256(engine)


def _read_record(path: Path) -> dict[str, Any]:
    """Empty if it is not there, or damaged."""
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _write_record(path: Path, record: Mapping[str, Any]) -> None:
    with _temporary(path) as new:
        new.write_text(json.dumps(record, indent=1) + "\n")
        _replace(new, path)


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A name beside ``path`` whose file is gone afterwards."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
    finally:
        if temporary.exists():
            temporary.unlink()


def _replace(temporary: Path, path: Path) -> None:
    with open(str(temporary), "rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def say(text: str) -> None:
    """Tell the user; stdout is for results."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """The command line of the bundle."""
    parser = argparse.ArgumentParser(description="Build a TensorRT engine on this device.")
    here = Path(__file__).resolve().parent
    parser.add_argument("--precision", choices=trtexec.PRECISIONS, help="default: that which is the fastest here")
    parser.add_argument("--bundle", type=Path, default=here, help="folder of the ONNX files; default: this one")
    parser.add_argument("--engines", type=Path, help="folder for engines; default: engines/ in the bundle")
    parser.add_argument("--force", action="store_true", help="build, and choose, even if nothing changed")
    parser.add_argument("--show", action="store_true", help="print the commands of trtexec and do not run them")
    parser.add_argument("--timeout", type=float, default=_BUILD_TIMEOUT_S, metavar="S", help="longest build (3600)")
    given = parser.parse_args()
    model, engines = given.bundle / "model.onnx", given.engines or given.bundle / "engines"
    try:
        builder = Builder()
        if given.show:
            for precision, onnx in builder.forms(model, given.precision).items():
                print(shlex.join(builder.command(onnx, precision, engines)))
            return
        made = builder.prepare(model, engines, given.precision, force=given.force, timeout_s=given.timeout)
    except EngineError as problem:
        say(f"error: {problem}")
        raise SystemExit(problem.exit_code) from None
    say(f"TensorRT {builder.version}, {made.precision}: {made.reason}")
    say("built" if made.built else "current: nothing to build")
    print(made.engine)


if __name__ == "__main__":
    main()
