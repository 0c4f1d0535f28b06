#!/usr/bin/env python3
"""Prints how far measurements of one and the same file lie apart from process to process, with machine and versions.

    .venv/bin/python scripts/bench_noise.py --bundle dist/digits-host --dense .edgeprune/cache/preflight-*/dense.onnx

Each of ``--times`` measurements loads both models in processes of their own, in turn. Told are 95 % half widths of the
ratio of two such measurements: of the median alone, and beside that of the dense network, as 'edgeprune compare' takes
it; and of peak memory. What 'edgeprune compare' allows for is in ``edgeprune/report/noise.py``.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import math
import os
import platform
import statistics
from pathlib import Path

from edgeprune.profile import measure
from edgeprune.report.noise import MEMORY_NOISE, PROCESS_NOISE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True, help="folder of a bundle with model.onnx")
    parser.add_argument("--dense", type=Path, required=True, help="the dense network as ONNX")
    parser.add_argument("--times", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    print(f"machine: {platform.processor() or platform.machine()}, {len(os.sched_getaffinity(0))} cores")
    print(f"versions: Python {platform.python_version()}, onnxruntime {importlib.metadata.version('onnxruntime')}")
    print(f"load before (1, 5, 15 minutes): {', '.join(f'{value:.2f}' for value in os.getloadavg())}")
    alone, beside, memory = [], [], []
    for _ in range(given.times):
        models = {"dense": given.dense, "model": given.bundle / "model.onnx"}
        profile = measure(models, threads=given.threads)
        dense, model = profile.models["dense"], profile.models["model"]
        alone.append(math.log(model.latency_ms.p50))
        beside.append(math.log(model.latency_ms.p50 / dense.latency_ms.p50))
        if model.peak_memory_bytes is not None:
            memory.append(math.log(model.peak_memory_bytes.value))
    print(f"\n{given.times} measurements; 95 % half width of the ratio of two:\n")
    print("| | found | allowed for |\n|---|---:|---:|")
    for name, logs, allowed in (
        ("median latency", alone, None),
        ("median latency beside that of dense", beside, PROCESS_NOISE),
        ("peak memory", memory, MEMORY_NOISE),
    ):
        found = "" if len(logs) < 2 else f"{math.expm1(1.96 * math.sqrt(2) * statistics.stdev(logs)):.1%}"
        print(f"| {name} | {found} | {'' if allowed is None else f'{allowed:.0%}'} |")


if __name__ == "__main__":
    main()
