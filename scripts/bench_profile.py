#!/usr/bin/env python3
"""Prints what profiling adds to measuring, on a real ssh server on loopback; as Markdown.

    .venv/bin/python scripts/bench_profile.py
    .venv/bin/python scripts/bench_profile.py --fleet 8 --rounds 3

Three questions, in one run each round: how long a profile over ssh takes beyond the measuring itself for a model of
4 MB (copying, starting, comparing, cleaning up); how much longer a fleet takes than one device where the measuring,
which takes turns on one machine, is left out; and how far the median of a local profile is from that of ONNX Runtime's
own loop in the same process state. Told are medians of the rounds and their ranges. Figures of a machine that does
something else at the same time say little: its load is printed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

from edgeprune.export.onnx_export import export  # noqa: E402
from edgeprune.profile import Profile, profile_fleet  # noqa: E402
from edgeprune.profile.workload import Workload, load_workload  # noqa: E402
from scripts.page import processor  # noqa: E402
from tests.devices import sshd  # noqa: E402

HOW: dict[str, Any] = {
    "threads": 1,
    "warmup": 20,
    "runs": 300,
    "blocks": 3,
    "block_s": 0.25,
    "noise": None,
    "retries": 0,
}


def main() -> None:
    inputs = _arguments()
    print(f"onnxruntime {onnxruntime.__version__}, {processor()}, load {os.getloadavg()[0]:.1f} at the beginning\n")
    with tempfile.TemporaryDirectory() as folder, sshd.server(Path(folder) / "sshd") as server:
        model = _model(Path(folder) / "model.onnx")
        result = load_workload(model)
        overheads, ratios, errors = [], [], []
        for _ in range(inputs.rounds):
            wall_s, (one,) = _timed(lambda: _profiles(result, [server.uri()]))
            measuring_s = _measuring_s(one)
            overheads.append(wall_s - measuring_s)
            # Each has its own name: what else is in a URI does not matter to sshd.
            fleet = [server.uri(python=f"{sys.executable} {'-E ' * index}".strip()) for index in range(inputs.fleet)]
            fleet_s, several = _timed(partial(_profiles, result, fleet))
            ratios.append((fleet_s - sum(map(_measuring_s, several))) / (wall_s - measuring_s))
            (local,) = _profiles(result, ["local:"])
            errors.append(_p50(local) / _own_loop(model) - 1)
        print("| | median | range |\n|---|---:|---:|")
        print(f"| ssh beyond measuring, {model.stat().st_size / 1e6:.1f} MB model, s | {_told(overheads, '.2f')} |")
        print(f"| {inputs.fleet} devices over one, without measuring | {_told(ratios, '.2f')} |")
        print(f"| p50 of a local profile over ONNX Runtime's own loop | {_told(errors, '+.1%')} |")
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")


def _model(path: Path) -> Path:
    """4 MB of weights."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(512, 1000), nn.ReLU(), nn.Linear(1000, 500)).eval()
    return export(network, (torch.randn(1, 512),), path).path


def _profiles(result: Workload, names: Sequence[str]) -> list[Profile]:
    outcomes = profile_fleet(result, names, **HOW)
    for outcome in outcomes:
        if outcome.profile is None:
            raise SystemExit(f"{outcome.device}: {outcome.error}")
    return [outcome.profile for outcome in outcomes if outcome.profile is not None]


def _measuring_s(result: Profile) -> float:
    """What was spent in inferences, those of warming up included."""
    (model,) = result.models.values()
    warm_ms = (model.warm_up_runs + HOW["blocks"] * HOW["warmup"]) * model.latency_ms.mean
    return (sum(map(sum, model.blocks_ms)) + warm_ms) / 1e3


def _p50(result: Profile) -> float:
    (model,) = result.models.values()
    return model.latency_ms.p50


def _own_loop(model: Path) -> float:
    """Median milliseconds of ONNX Runtime, called in a loop."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    (value,) = session.get_inputs()
    inputs = {value.name: np.random.default_rng(0).standard_normal(value.shape).astype(np.float32)}
    durations = []
    for _ in range(1000):
        started = time.perf_counter_ns()
        session.run(None, inputs)
        durations.append((time.perf_counter_ns() - started) / 1e6)
    return statistics.median(durations[200:])


def _timed(call: Callable[[], list[Profile]]) -> tuple[float, list[Profile]]:
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


def _told(values: Sequence[float], form: str) -> str:
    return f"{statistics.median(values):{form}} | {min(values):{form}} to {max(values):{form}}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What profiling adds to measuring.")
    parser.add_argument("--fleet", type=int, default=8, help="devices at once (8)")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is done (3)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
