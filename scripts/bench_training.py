"""Time and peak memory of one training step of the CIFAR ResNet-56, dense and at half the MACs, in each way to run it.

    python scripts/bench_training.py [--threads 2]

Each figure is the median of five steps after two, in a fresh process; ways in turn, two rounds, the better one counts.
Weights and images are random: neither changes the time.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import sys
import time
from pathlib import Path

import torch

import edgeprune
from edgeprune import process
from edgeprune.config import Recipe
from edgeprune.model import network
from edgeprune.training.execution import Execution

BATCH = 128
NETWORKS = {"dense": None, "half the MACs": 0.5}
WAYS = [(precision, order) for precision in ("float32", "bfloat16") for order in (False, True)]


def measure(share: float | None, precision: str, channels_last: bool, threads: int) -> dict[str, float]:
    torch.set_num_threads(threads)
    recipe = Recipe.load(Path(__file__).parents[1] / "recipes" / "cifar10-resnet56")
    model = network.load_model(recipe.model.factory, None, base=recipe.folder)
    if share is not None:
        example = network.example_inputs(recipe.model.input)
        model = edgeprune.prune(model, example, budget={"macs": share}, criterion="l2", prove=False).model
    execution = Execution(precision=precision, channels_last=channels_last, threads=threads, step_ms={})
    execution.place(model.train())
    images, labels = torch.randn(BATCH, 3, 32, 32), torch.randint(10, (BATCH,))
    times = []
    for _ in range(7):
        started = time.perf_counter()
        torch.nn.functional.cross_entropy(execution.forward(model, images), labels).backward()
        model.zero_grad()
        times.append(1e3 * (time.perf_counter() - started))
    peak_bytes = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"step_ms": statistics.median(times[2:]), "peak_bytes": peak_bytes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        name, precision, order = arguments.one
        print(json.dumps(measure(NETWORKS[name], precision, order == "True", arguments.threads)))
        return
    results: dict[tuple[str, str, bool], list[dict[str, float]]] = {}
    for _ in range(2):
        for name in NETWORKS:
            for precision, order in WAYS:
                argv = [sys.executable, __file__, "--threads", str(arguments.threads)]
                done = process.run([*argv, "--one", name, precision, str(order)], timeout_s=600)
                assert done.returncode == 0, done.stderr
                results.setdefault((name, precision, order), []).append(json.loads(done.stdout))
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, {arguments.threads} threads")
    for (name, precision, order), found in results.items():
        best = min(found, key=lambda result: result["step_ms"])
        way = precision + (", channels last" if order else "")
        print(f"{name:14} {way:24} {best['step_ms']:6.0f} ms {best['peak_bytes'] / 1e9:6.2f} GB")


if __name__ == "__main__":
    main()
