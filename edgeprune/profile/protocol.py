"""How models are measured: each in a process of its own, in turn and in blocks, so that drift hits all of them.

The models A and B are loaded and warmed up one after the other; then follow the blocks A B A B ... Their processes stay
alive in between, and only one of them works at any time.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgeprune import files
from edgeprune.devices import Capability, Conversation, Device, Kind, Local, Workspace
from edgeprune.errors import DeviceError
from edgeprune.profile import statistics
from edgeprune.profile.result import Figure, LatencyFigures, ModelProfile, Profile, RatioFigure
from edgeprune.progress import SILENT, Progress

logger = logging.getLogger(__name__)

_PROTOCOL = 1
_WARM_UP_S = 10
_SHOWN = 200


def measure(
    models: Mapping[str, Path],
    device: Device | None = None,
    *,
    threads: int | None = None,
    warmup: int = 20,
    runs: int = 300,
    blocks: int = 3,
    block_s: float = 0.25,
    spinning: bool = True,
    seed: int = 0,
    runner: Path | None = None,
    timeout_s: float = 300.0,
    progress: Progress = SILENT,
) -> Profile:
    """Measure latency and memory of ONNX models on a device.

    Args:
        models: ``.onnx`` files by name; ratios are over the first.
        device: Where; default: this machine.
        threads: Of one inference; None: every core of the device.
        warmup: Fewest inferences of the first warm-up, and unmeasured ones at the start of each block.
        runs: Measured inferences of each model, over all blocks; a fast model makes more.
        blocks: How often the models take turns.
        block_s: Shortest block in seconds, so that a fast model is not judged by one moment (at most 2000 inferences).
        spinning: Threads of the runtime wait busily for work: faster, unless others want the cores.
        seed: Of the random input and of the bootstrap.
        runner: The script that runs them there; None: that of ONNX Runtime.
        timeout_s: Longest wait for one answer of the device.
        progress: Advances by a block.

    Raises:
        DeviceError: The device cannot be reached, or the runner fails, answers nonsense or not in time.
    """
    device = device or Local()
    progress.start(len(models) * blocks)
    with device.open() as workspace:
        script = workspace.push(runner or RUNNER)
        runners = {name: Runner(workspace, script, name, timeout_s) for name in models}
        for name, path in models.items():
            runners[name].load(workspace.push(path), threads=threads, spinning=spinning, seed=seed)
            runners[name].warm_up(warmup)
        for block in range(blocks):
            share = runs // blocks + (block < runs % blocks)
            for runner_of_model in runners.values():
                median = runner_of_model.measure(warmup, max(1, share), block_s)
                progress.advance(p50_ms=median)
        with_memory = Capability.MEMORY in device.capabilities
        measured = {
            name: runners[name].finish(files.sha256(path), device.kind, with_memory=with_memory)
            for name, path in models.items()
        }
        machine = next(iter(runners.values())).machine
    first, *others = measured
    ratios = {name: statistics.ratio(measured[first].blocks_ms, measured[name].blocks_ms, seed=seed) for name in others}
    return Profile(
        device={"uri": device.uri, **machine},
        settings={
            "warmup": warmup,
            "runs": runs,
            "blocks": blocks,
            "block_s": block_s,
            "spinning": spinning,
            "seed": seed,
        },
        models=measured,
        ratios={name: RatioFigure(**asdict(ratio), kind=device.kind) for name, ratio in ratios.items()},
    )


RUNNER = Path(__file__).parent / "runners" / "onnxruntime_runner.py"
LITERT_RUNNER = RUNNER.with_name("litert_runner.py")
TENSORRT_RUNNER = (
    RUNNER.with_name("tensorrt_runner.py"),
    RUNNER.with_name("build_engine.py"),
    RUNNER.with_name("trtexec.py"),
    RUNNER.with_name("choice.py"),
    RUNNER,
)
"""What a board with TensorRT is given: the first is started, the others lie beside it under their own names."""
# Opset 17 and IR 8 came with 1.12.
LITERT_REQUIREMENTS = "numpy>=1.21\nai-edge-litert>=1.0\n"
REQUIREMENTS = "numpy>=1.21\nonnxruntime>=1.12\n"


class Runner:
    """A runner on a device, as its answers describe it. It holds one model at a time."""

    def __init__(self, workspace: Workspace, script: str, name: str, timeout_s: float) -> None:
        self._name = name
        self._timeout_s = timeout_s
        self._conversation: Conversation = workspace.converse([script, "--serve"])
        ready = self._answer("ready", {"protocol": int})
        if ready["protocol"] != _PROTOCOL:
            raise self._error(f"speaks protocol {ready['protocol']}, not {_PROTOCOL}")
        self.machine = {key: value for key, value in ready.items() if key not in ("event", "protocol")}
        self._loaded: dict[str, Any] = {}
        self._warm: dict[str, Any] = {}
        self._blocks: list[tuple[float, ...]] = []

    def load(self, model: str, *, threads: int | None, spinning: bool, seed: int) -> None:
        self._send(do="load", model=model, threads=threads, spinning=spinning, seed=seed)
        self._loaded = self._answer("loaded", {"load_ms": float, "first_ms": float, "threads": int})

    def warm_up(self, at_least: int) -> None:
        self._send(do="warm_up", at_least=at_least, at_most_s=_WARM_UP_S)
        self._warm = self._answer("warm", {"runs": int, "stable": bool})

    def measure(self, warmup: int, runs: int, block_s: float) -> float:
        """Measure one block; returns its median in milliseconds."""
        self._send(do="measure", warm_up=warmup, runs=runs, at_least_s=block_s)
        latencies = self._answer("block", {"latency_ms": list})["latency_ms"]
        if len(latencies) < runs or not all(isinstance(value, float) and value > 0 for value in latencies):
            raise self._error(f"gave {len(latencies)} latencies, or some that are no time, for {runs} runs")
        self._blocks.append(tuple(latencies))
        return statistics.latency([latencies]).p50

    def finish(self, sha256: str, kind: Kind, *, with_memory: bool) -> ModelProfile:
        peak, baseline, source = None, None, None
        if with_memory:
            self._send(do="memory")
            memory = self._answer("memory", {"peak_bytes": int, "baseline_bytes": int, "source": str})
            peak = Figure(max(0, memory["peak_bytes"] - memory["baseline_bytes"]), kind)
            baseline = Figure(memory["baseline_bytes"], kind)
            source = memory["source"]
        self._send(do="end")
        return ModelProfile(
            sha256=sha256,
            latency_ms=LatencyFigures(**asdict(statistics.latency(self._blocks)), kind=kind),
            first_ms=Figure(self._loaded["first_ms"], kind),
            load_ms=Figure(self._loaded["load_ms"], kind),
            peak_memory_bytes=peak,
            runtime_memory_bytes=baseline,
            memory_source=source,
            warm_up_runs=self._warm["runs"],
            stable=self._warm["stable"],
            threads=self._loaded["threads"],
            blocks_ms=tuple(self._blocks),
        )

    def _send(self, **command: Any) -> None:
        logger.debug("%s <- %s", self._name, command)
        try:
            self._conversation.send(json.dumps(command))
        except DeviceError as problem:
            raise DeviceError(f"measuring {self._name}: {problem}") from problem

    def _answer(self, event: str, keys: Mapping[str, type]) -> dict[str, Any]:
        try:
            line = self._conversation.receive(timeout_s=self._timeout_s)
        except DeviceError as problem:
            raise DeviceError(f"measuring {self._name}: {problem}") from problem
        try:
            answer = json.loads(line)
        except ValueError:
            raise self._error(f"answers with no JSON: {line[:_SHOWN]!r}") from None
        if isinstance(answer, dict) and answer.get("event") == "error":
            raise self._error(f"fails: {answer.get('message')}")
        if not isinstance(answer, dict) or answer.get("event") != event:
            raise self._error(f"answers with something else than '{event}': {line[:_SHOWN]!r}")
        wrong = [key for key, kind in keys.items() if not isinstance(answer.get(key), kind)]
        if wrong:
            raise self._error(f"answers '{event}' without {', '.join(wrong)}: {line[:_SHOWN]!r}")
        return answer

    def _error(self, what: str) -> DeviceError:
        words = self._conversation.last_words()
        said = f"; its last words: {words}" if words else ""
        return DeviceError(f"measuring {self._name}: the runner {what}{said}")
