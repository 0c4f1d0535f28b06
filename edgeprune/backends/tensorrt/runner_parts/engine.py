"""Measurements of a built engine with trtexec."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeprune.backends.tensorrt.runner_parts.engine_errors import EngineError
from edgeprune.backends.tensorrt.runner_parts.trtexec_commands import TrtexecRun, Version, measure_argv
from edgeprune.backends.tensorrt.runner_parts.trtexec_program import run_trtexec
from edgeprune.backends.tensorrt.runner_parts.trtexec_results import parse_bindings, read_outputs, read_times

WARM_UP_MS = 500
_MEASURE_TIMEOUT_S = 600.0
_ROUND_S = 1


class Engine:
    """Built engine that trtexec runs and measures.

    Args:
        program: Path of trtexec.
        version: Version of TensorRT.
        path: Path of the engine file.
        folder: Folder for files that trtexec exports.
        flags: Result of ``measure_flags``.

    Attributes:
        flags: Flags of trtexec for measurements.
        printed: Output of the last run of trtexec.
    """

    def __init__(self, program: str, version: Version, path: Path, folder: Path, flags: Sequence[str]) -> None:
        self._program = program
        self._version = version
        self._path = path
        self._folder = folder
        self.flags = flags
        self.printed = ""

    def run(self, settings: TrtexecRun) -> list[dict[str, float]]:
        """Run trtexec once and return the times of each inference."""
        times = self._folder / "times.json"
        self._trtexec(times, settings)
        return read_times(times.read_text())

    def median_ms(self) -> float:
        """Median latency of a short run."""
        times = self.run(TrtexecRun(warm_up_ms=WARM_UP_MS, duration_s=_ROUND_S))
        return statistics.median(entry["latency_ms"] for entry in times)

    def layers(self) -> dict[str, Any]:
        """Measure and return the time and description of each layer that trtexec exports."""
        profile, layers = self._folder / "profile.json", self._folder / "layers.json"
        settings = TrtexecRun(WARM_UP_MS, _ROUND_S, profile=str(profile), layers=str(layers))
        self._trtexec(self._folder / "times.json", settings)
        return {"profile": json.loads(profile.read_text()), "layers": json.loads(layers.read_text())}

    def outputs(self, sample: bytes) -> list[tuple[tuple[int, ...], list[float]]] | None:
        """Run the raw values of one input, and return shape and values of each output in the order of the network.

        Return None if trtexec does not print the names, or the network has several inputs.
        """
        input_file, output_file = self._folder / "input.bin", self._folder / "outputs.json"
        inputs, names = parse_bindings(self.printed)
        if len(inputs) != 1 or not names:
            return None
        input_file.write_bytes(sample)
        if output_file.exists():
            output_file.unlink()
        settings = TrtexecRun(0, 0, 1, inputs=f"{inputs[0]}:{input_file}", outputs=str(output_file))
        self._trtexec(self._folder / "times.json", settings)
        if not output_file.is_file():
            raise EngineError("trtexec succeeded, but did not export outputs")
        values_by_name = read_outputs(output_file.read_text())
        return [values_by_name[name] for name in names] if set(names) == set(values_by_name) else None

    def _trtexec(self, times: Path, run: TrtexecRun) -> None:
        if times.exists():
            times.unlink()
        argv = measure_argv(self._program, self._version, str(self._path), str(times), flags=self.flags, run=run)
        timeout_s = _MEASURE_TIMEOUT_S + run.duration_s
        self.printed = run_trtexec(argv, log=self._folder / "measure.log", timeout_s=timeout_s)
        if not times.is_file():
            raise EngineError("trtexec succeeded, but did not export times")
