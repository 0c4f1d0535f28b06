#!/usr/bin/env python3
"""Prints what EdgePrune and PyTorch's two exporters make of networks, side by side; as Markdown.

    .venv/bin/python scripts/bench_export.py
    .venv/bin/python scripts/bench_export.py --networks resnet50 --threads 2 --rounds 3

Networks: the recipe cifar10-resnet56, and any of the zoo's (tests/zoo/networks.py), with fresh weights. "plain" is what
torch.onnx.export writes and nothing else: at the opset of our targets by tracing, at its own by torch.export. "ours" is
written by either exporter, BatchNorm folded, simplified, checked against the network, of the module or of its captured
program; and then compared with the network on ONNX Runtime. Each is a fresh process, so that time and memory include
what it imports. Latency is measured in turn, a round in fresh processes: each round gives the ratio to the plain file
by tracing, told are the median of the rounds and their range.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from scripts.page import processor  # noqa: E402

BASE = "plain, tracing"
CASES = {
    BASE: (False, "tracing", "module"),
    "plain, torch.export": (False, "torch.export", "module"),
    "ours": (True, None, "module"),
    "ours, torch.export": (True, "torch.export", "module"),
    "ours, of the captured program": (True, None, "program"),
}
"""Whether it is ours, the exporter (None: our choice), and what is exported."""
COLUMNS = ("", "s", "of it parity", "peak MB", "opset", "nodes", "bytes", "of plain", "p50 ms", "of plain")


def main() -> None:
    inputs = _arguments()
    if inputs.case:
        print(json.dumps(export(*inputs.case, threads=inputs.threads, samples=inputs.samples)))
        return
    print(f"torch {torch.__version__}, {processor()}, {inputs.threads} threads, load {os.getloadavg()[0]:.1f}")
    for name in inputs.networks:
        with tempfile.TemporaryDirectory() as folder:
            paths = {case: Path(folder) / f"{index}.onnx" for index, case in enumerate(CASES)}
            results = {case: _in_a_fresh_process(name, case, path, inputs) for case, path in paths.items()}
            latencies = [_latencies(paths, inputs.threads, seed) for seed in range(inputs.rounds)]
        print(f"\n**{name}**, {inputs.samples} samples for parity, {inputs.rounds} rounds\n")
        print(f"| {' | '.join(COLUMNS)} |\n|---{'|---:' * (len(COLUMNS) - 1)}|")
        for case, facts in results.items():
            ratios = sorted(times[case] / times[BASE] for times in latencies)
            cells = (
                case,
                f"{facts['seconds']:.1f}",
                f"{facts['parity_seconds']:.1f}" if "parity_seconds" in facts else "",
                facts["peak_mb"],
                facts["opset"],
                facts["nodes"],
                facts["bytes"],
                f"{facts['bytes'] / results[BASE]['bytes']:.3f}",
                f"{statistics.median(times[case] for times in latencies):.3f}",
                f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})",
            )
            print(f"| {' | '.join(map(str, cells))} |")


def export(name: str, case: str, path: str, *, threads: int, samples: int) -> dict[str, float]:
    """Write one file in this process."""
    torch.set_num_threads(threads)
    ours, exporter, form = CASES[case]
    model, example = _network(name)
    started = time.perf_counter()
    source = torch.export.export(model, example).module() if form == "program" else model
    facts = _ours(source, example, Path(path), exporter, samples) if ours else _plain(source, example, path, exporter)
    facts["seconds"] = time.perf_counter() - started
    return {**facts, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, **_contents(Path(path))}


def _ours(
    model: nn.Module, example: tuple[Tensor, ...], path: Path, exporter: str | None, samples: int
) -> dict[str, float]:
    from unittest import mock

    from edgeprune.backends.onnxruntime.onnxruntime_session import OnnxRuntimeSession
    from edgeprune.export import onnx_export, parity, torch_exporters

    first = torch_exporters.by_torch_export if exporter == "torch.export" else torch_exporters.by_tracing
    with mock.patch.object(onnx_export, "by_tracing", first):
        onnx_export.export(model, example, path)
    started = time.perf_counter()
    session = OnnxRuntimeSession(path, threads=torch.get_num_threads())
    images = torch.randn(samples, *example[0].shape[1:], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = torch.cat([model(image) for image in images.split(1)]).numpy()
    result = parity.compare(expected, session.predict(images.numpy()))
    # Fresh weights give nearly the same for every image, so the class says nothing here.
    parity.check(result, max_error=1e-3, top1_agreement=0.0)
    return {"parity_seconds": time.perf_counter() - started}


def _plain(model: nn.Module, example: tuple[Tensor, ...], path: str, exporter: str | None) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if exporter == "tracing":
            torch.onnx.export(model, example, path, dynamo=False, opset_version=17)
        else:
            torch.onnx.export(model, example, path, dynamo=True, external_data=False, verbose=False)
    return {}


def _contents(path: Path) -> dict[str, int]:
    import onnx

    proto = onnx.load(path)
    return {
        "opset": next(entry.version for entry in proto.opset_import if not entry.domain),
        "nodes": len(proto.graph.node),
        "bytes": path.stat().st_size,
    }


def _network(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    if name.startswith("cifar10-"):
        from edgeprune.config import Recipe
        from edgeprune.model import network

        recipe = Recipe.load(ROOT / "recipes" / name)
        model = network.load_model(recipe.model.factory, recipe.weights_path, base=recipe.folder)
        return model.eval(), network.example_inputs(recipe.model.input)
    from tests.zoo import networks

    model, example = networks.make(name)
    assert isinstance(example, tuple), f"{name} takes inputs by position"
    return model, example


def _in_a_fresh_process(name: str, case: str, path: Path, inputs: argparse.Namespace) -> dict[str, float]:
    argv = [sys.executable, __file__, "--case", name, case, str(path)]
    argv += ["--threads", str(inputs.threads), "--samples", str(inputs.samples)]
    ended = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True)
    values: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return values


def _latencies(paths: dict[str, Path], threads: int, seed: int) -> dict[str, float]:
    """Medians in milliseconds; the order of turns changes with the seed."""
    from edgeprune.profile import measure

    order = sorted(paths) if seed % 2 else sorted(paths, reverse=True)
    profile = measure({case: paths[case] for case in order}, threads=threads, seed=seed)
    return {case: model.latency_ms.p50 for case, model in profile.models.items()}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["cifar10-resnet56", "resnet50"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--samples", type=int, default=64, help="images that parity is checked on")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", nargs=3, metavar=("NETWORK", "CASE", "FILE"), help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
