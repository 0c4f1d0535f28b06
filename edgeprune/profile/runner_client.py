"""Client of a runner on a device.

The scripts of backends (``RunnerScripts``) are copied to a device, where they do not need EdgePrune.
"""

from __future__ import annotations

import json
import logging
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np

from edgeprune import safe_json
from edgeprune.backends.tensorrt.trtexec_report import read_profile
from edgeprune.devices import Conversation, Kind, Workspace
from edgeprune.devices.base import ConnectionLostError
from edgeprune.errors import DeviceError
from edgeprune.profile import latency_statistics
from edgeprune.profile.golden_samples import Array, arrays
from edgeprune.profile.profile_result import Figure, LatencyFigures, LayerTime, ModelProfile

logger = logging.getLogger(__name__)

_PROTOCOL = 1
_WARM_UP_S = 10
_LAYER_RUNS = 20
_SHOWN = 200
_REASON_SHOWN = 1000
_DEFAULT_COMMANDS = ("load", "warm_up", "measure", "memory")
"""Commands of runners that do not list them, as in earlier bundles."""


class Runner:
    """Client of a runner on a device. The runner holds one model at a time.

    Attributes:
        machine: Description of device and runtime.
    """

    def __init__(self, workspace: Workspace, script: str, name: str, timeout_s: float) -> None:
        self._workspace = workspace
        self._name = name
        self._timeout_s = timeout_s
        self._conversation: Conversation = workspace.converse([script, "--serve"])
        ready = self._answer("ready", {"protocol": int})
        if ready["protocol"] != _PROTOCOL:
            raise self._error(f"has protocol {ready['protocol']}, but this EdgePrune needs protocol {_PROTOCOL}")
        commands = ready.get("commands", _DEFAULT_COMMANDS)
        if not isinstance(commands, (list, tuple)) or not all(isinstance(name, str) for name in commands):
            raise self._error(f"sent an invalid list of commands: {commands!r:.{_SHOWN}}")
        self._commands = tuple(commands)
        self.machine = {key: value for key, value in ready.items() if key not in ("event", "protocol", "commands")}
        self._loaded: dict[str, Any] = {}
        self._warm: dict[str, Any] = {}
        self._blocks: list[tuple[float, ...]] = []

    @property
    def precision(self) -> str | None:
        """Precision of the loaded model, such as ``float16``, if the runner chose one."""
        precision = self._loaded.get("precision")
        return precision.replace("fp", "float") if isinstance(precision, str) else None

    @property
    def blocks_ms(self) -> tuple[tuple[float, ...], ...]:
        """All latencies in milliseconds, by block."""
        return tuple(self._blocks)

    def load(
        self, model: str, *, threads: int | None, spinning: bool, seed: int, timeout_s: float | None = None
    ) -> None:
        self._send(do="load", model=model, threads=threads, spinning=spinning, seed=seed)
        self._loaded = self._answer("loaded", {"first_ms": float, "threads": int}, timeout_s)
        if not isinstance(self._loaded.get("load_ms"), (int, float, NoneType)):
            raise self._error(f"sent an invalid load time: {self._loaded['load_ms']!r:.{_SHOWN}}")

    def warm_up(self, at_least: int) -> None:
        self._send(do="warm_up", at_least=at_least, at_most_s=_WARM_UP_S)
        self._warm = self._answer("warm", {"runs": int, "stable": bool})

    def measure(self, warmup: int, runs: int, block_s: float) -> float:
        """Measure one block; return its median in milliseconds."""
        self._send(do="measure", warm_up=warmup, runs=runs, at_least_s=block_s)
        latencies = self._answer("block", {"latency_ms": list})["latency_ms"]
        if len(latencies) < runs or not all(isinstance(value, float) and value > 0 for value in latencies):
            raise self._error(f"sent {len(latencies)} latencies, expected at least {runs} numbers above 0")
        self._blocks.append(tuple(latencies))
        return latency_statistics.latency([latencies]).p50

    def forget(self) -> None:
        """Discard the measured blocks, which were too noisy."""
        self._blocks.clear()

    def memory(self) -> dict[str, Any]:
        """Return peak and baseline memory, or the arena, in bytes; empty if the runner does not report memory."""
        if "memory" not in self._commands:
            return {}
        self._send(do="memory")
        kinds = {"peak_bytes": int, "baseline_bytes": int, "source": str, "arena_bytes": int}
        memory = {key: value for key, value in self._answer("memory", {}).items() if key in kinds}
        if not all(isinstance(value, kinds[key]) for key, value in memory.items()):
            raise self._error(f"sent invalid memory values: {memory!r:.{_SHOWN}}")
        return memory

    def layers(self) -> tuple[LayerTime, ...] | None:
        """Return the latency of each layer; None if the runner does not report it."""
        if "layers" not in self._commands:
            return None
        self._send(do="layers", runs=_LAYER_RUNS)
        answer = self._answer("layers", {})
        try:
            if "profile" in answer:  # of trtexec
                times = read_profile(answer["profile"])
                return tuple(
                    LayerTime(one.name, "", one.mean_ms if one.median_ms is None else one.median_ms) for one in times
                )
            layers = answer["layers"] or ()  # a board's firmware may not time its operators
            return tuple(LayerTime(str(each["name"]), str(each["kind"]), float(each["ms"])) for each in layers) or None
        except (KeyError, TypeError, ValueError) as problem:
            raise self._error(f"sent invalid layers: {problem!r}") from problem

    def outputs(self, inputs: Array) -> list[Array] | None:
        """Return the outputs of the loaded model for samples (N, ...); None if the runner cannot return them."""
        if "outputs" not in self._commands:
            return None
        with tempfile.TemporaryDirectory() as folder:
            input_file, output_file = Path(folder) / "samples.npy", Path(folder) / "outputs.npz"
            np.save(input_file, inputs)
            remote_path = self._workspace.path(f"{secrets.token_hex(4)}.npz")
            self._send(do="outputs", input=self._workspace.push(input_file), output=remote_path)
            if self._answer("outputs", {}).get("unknown"):
                return None
            self._workspace.pull(remote_path, output_file)
            try:
                return list(arrays(output_file).values())
            except (ValueError, OSError) as problem:
                raise self._error(f"wrote invalid outputs: {problem}") from problem

    def end(self) -> None:
        """End the runner."""
        self._send(do="end")

    def result(self, sha256: str, kind: Kind, memory: Mapping[str, Any], **values: Any) -> ModelProfile:
        """Return the profile of the model, with further ``values`` of its fields."""

        def figure(value: float | None) -> Figure | None:
            return None if value is None else Figure(value, kind)

        peak, baseline = memory.get("peak_bytes"), memory.get("baseline_bytes")
        model_bytes = None if peak is None or baseline is None else max(0, peak - baseline)
        return ModelProfile(
            sha256=sha256,
            latency_ms=LatencyFigures(**asdict(latency_statistics.latency(self._blocks)), kind=kind),
            first_ms=Figure(self._loaded["first_ms"], kind),
            load_ms=figure(self._loaded.get("load_ms")),
            peak_memory_bytes=figure(model_bytes),
            runtime_memory_bytes=figure(baseline),
            memory_source=memory.get("source"),
            arena_bytes=figure(memory.get("arena_bytes")),
            warm_up_runs=self._warm["runs"],
            stable=self._warm["stable"],
            threads=self._loaded["threads"],
            blocks_ms=self.blocks_ms,
            **values,
        )

    def _send(self, **command: Any) -> None:
        logger.debug("%s <- %s", self._name, command)
        try:
            self._conversation.send(json.dumps(command))
        except ConnectionLostError:
            raise
        except DeviceError as problem:
            raise DeviceError(f"measuring {self._name}: {problem}") from problem

    def _answer(self, event: str, keys: Mapping[str, type], timeout_s: float | None = None) -> dict[str, Any]:
        try:
            line = self._conversation.receive(timeout_s=timeout_s or self._timeout_s)
        except ConnectionLostError:
            raise
        except DeviceError as problem:
            raise DeviceError(f"measuring {self._name}: {problem}") from problem
        try:
            answer = safe_json.loads(line)
        except ValueError:
            raise self._error(f"sent a line that is not JSON: {line[:_SHOWN]!r}") from None
        if isinstance(answer, dict) and answer.get("event") == "error":
            reason = " ".join(str(answer.get("message")).split())  # runtimes use several lines
            raise DeviceError(f"measuring {self._name}: the runner failed: {reason[:_REASON_SHOWN]}")
        if not isinstance(answer, dict) or answer.get("event") != event:
            raise self._error(f"sent an unexpected answer, expected the event '{event}': {line[:_SHOWN]!r}")
        wrong = [key for key, kind in keys.items() if not isinstance(answer.get(key), kind)]
        if wrong:
            raise self._error(f"sent '{event}' without a valid value of {', '.join(wrong)}: {line[:_SHOWN]!r}")
        return answer

    def _error(self, problem: str) -> DeviceError:
        words = self._conversation.last_words()
        stderr = f"; last output: {words}" if words else ""
        return DeviceError(f"measuring {self._name}: the runner {problem}{stderr}")
