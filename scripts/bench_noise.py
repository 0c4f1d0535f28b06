#!/usr/bin/env python3
"""Prints how far measurements of one and the same file lie apart from process to process, with machine and versions.

    .venv/bin/python scripts/bench_noise.py --bundle dist/digits-host --dense .edgeprune/cache/preflight-*/dense.onnx

Each of ``--times`` measurements loads the dense network and, twice, the bundle's model, in processes of their own, in
turn. Told are 95 % half widths of ratios of medians that should be 1: of two measurements, alone and beside the dense
network, and within one, as after 'edgeprune profile --baseline'; and of peak memory. What 'edgeprune compare' allows
for is in ``edgeprune/profile/latency_noise.py``. The last column counts those that fail a limit of ``--limit`` percent.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import math
import os
import platform
import statistics
from dataclasses import replace
from pathlib import Path

from edgeprune.bundle.bundle_reader import BundleContent
from edgeprune.profile import Profile, measure
from edgeprune.profile.latency_noise import MEMORY_NOISE, PROCESS_NOISE
from edgeprune.report.comparison import compare
from edgeprune.report.regression_limits import RegressionLimit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True, help="folder of a bundle with model.onnx")
    parser.add_argument("--dense", type=Path, required=True, help="the dense network as ONNX")
    parser.add_argument("--times", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=float, default=5.0, help="percent that compare allows")
    arguments = parser.parse_args()
    print(f"machine: {platform.processor() or platform.machine()}, {len(os.sched_getaffinity(0))} cores")
    print(f"versions: Python {platform.python_version()}, onnxruntime {importlib.metadata.version('onnxruntime')}")
    print(f"load before (1, 5, 15 minutes): {', '.join(f'{value:.2f}' for value in os.getloadavg())}")
    results = []
    for _ in range(arguments.times):
        models = {
            "dense": arguments.dense,
            "base": arguments.bundle / "model.onnx",
            "pruned": arguments.bundle / "model.onnx",
        }
        results.append(measure(models, threads=arguments.threads))
    print(f"load after: {', '.join(f'{value:.2f}' for value in os.getloadavg())}")
    both = [(one.models["base"].latency_ms.p50, one.models["pruned"].latency_ms.p50) for one in results]
    alone = [math.log(base) for base, _ in both]
    beside = [math.log(base / one.models["dense"].latency_ms.p50) for (base, _), one in zip(both, results, strict=True)]
    in_turn = [math.log(new / base) for base, new in both]
    peaks = [one.models["base"].peak_memory_bytes for one in results]
    memory = [math.log(peak.value) for peak in peaks if peak is not None]
    alarms = _alarms(results, arguments.limit)
    print(
        f"\n{arguments.times} measurements of {arguments.bundle}; called worse, by more than {arguments.limit:g} %:\n"
    )
    print("| | 95 % half width | allowed for | called worse |\n|---|---:|---:|---:|")
    two = math.sqrt(2)
    for name, width, allowed, worse in (
        ("median latency, two measurements", two * _spread(alone), None, alarms["alone"]),
        ("beside dense, two measurements", two * _spread(beside), PROCESS_NOISE, alarms["beside dense"]),
        ("in turn, one measurement", _spread(in_turn), PROCESS_NOISE, alarms["in turn"]),
        ("peak memory, two measurements", two * _spread(memory), MEMORY_NOISE, ""),
    ):
        print(f"| {name} | {math.expm1(width):.1%} | {'' if allowed is None else f'{allowed:.0%}'} | {worse} |")


def _spread(logs: list[float]) -> float:
    return 1.96 * statistics.stdev(logs)


def _alarms(result: list[Profile], limit: float) -> dict[str, str]:
    """How many comparisons of the file with itself fail, by how they are made."""
    rule = [RegressionLimit.parse(f"latency_ms.p50:+{limit:g}%")]

    def failed(base: Profile, new: Profile, *names: str) -> bool:
        sides = [
            BundleContent(Path(which), None, replace(one, models={name: one.models[name] for name in names}).to_json())
            for which, one in (("base", base), ("new", new))
        ]
        return bool(compare(sides[0], sides[1], rule).failed)

    pairs = list(itertools.permutations(result, 2))
    alarms = {
        "alone": [failed(base, new, "pruned") for base, new in pairs],
        "beside dense": [failed(base, new, "dense", "pruned") for base, new in pairs],
        "in turn": [failed(one, one, "base", "pruned") for one in result],
    }
    return {name: f"{sum(each)} of {len(each)}" for name, each in alarms.items()}


if __name__ == "__main__":
    main()
