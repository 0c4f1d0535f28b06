#!/usr/bin/env python3
"""Prints what EdgePrune and litert-torch make of the same networks as TFLite files, in one run; as Markdown.

    python scripts/bench_tflite.py
    python scripts/bench_tflite.py --recipes cifar10-resnet8 --litert-torch-python other/.venv/bin/python

litert-torch comes with the extra 'bench' (1.3 GB with jax and transformers), or lies in an environment of its own.

Both start from the network in PyTorch with the recipe's weights, and give images their channels last in the file.
Each conversion runs in a fresh process, twice: the first is a user's, with all that the tool imports behind PyTorch,
the second is without what is done only once; the fastest of three processes in turn, as other programs can only add.
int8 is made of litert-torch's float file by ai-edge-quantizer's own static recipe, as its documentation says, with the
same calibration samples. Latency is LiteRT's, one thread, the files in turns of random order; the 10th percentile.
The arena is that of TFLite Micro's recording allocator on this host, of files whose buffers were moved inside where
they lay outside.
"""

from __future__ import annotations

import argparse
import json
import random
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgeprune.config import Recipe

ROOT = Path(__file__).resolve().parents[1]
_TOOLS = ("litert-torch", "EdgePrune")
_PROCESSES = 3
_BARS = {
    "operators": 1.0,
    "file bytes": 1.02,
    "latency ms": 1.05,
    "arena bytes": 1.0,
    "conversion s": 1 / 5,
    "conversion again s": 1 / 5,
}
"""What EdgePrune may have at most, in shares of what litert-torch has."""


@dataclass(frozen=True)
class Network:
    """A network as both processes find it, without EdgePrune: litert-torch may be where that is not."""

    code: str
    factory: str
    weights: str
    shape: tuple[int, ...]

    def load(self) -> nn.Module:
        from safetensors.torch import load_file

        model = runpy.run_path(self.code)[self.factory]()
        model.load_state_dict(load_file(self.weights))
        return model.eval()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=["cifar10-resnet56", "cifar10-resnet8"])
    parser.add_argument("--litert-torch-python", default=sys.executable, metavar="PATH")
    parser.add_argument("--samples", type=int, default=100, help="for calibration")
    parser.add_argument("--runs", type=int, default=300, help="measured inferences of each file")
    parser.add_argument("--case", nargs=3, metavar=("TOOL", "NETWORK", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        tool, network, file = arguments.case
        _case(tool, Network(**json.loads(network)), Path(file))
        return 0
    sys.path.insert(0, str(ROOT))
    pythons = dict(zip(_TOOLS, (arguments.litert_torch_python, sys.executable), strict=True))
    _print_head(arguments)
    missed = 0
    for name in arguments.recipes:
        with tempfile.TemporaryDirectory() as folder:
            missed += _print_network(name, compare(name, Path(folder), pythons, arguments.samples, arguments.runs))
    return int(missed > 0)


def compare(name: str, folder: Path, pythons: dict[str, str], samples: int, runs: int) -> dict[str, Any]:
    """Figures by precision, what is compared, and tool."""
    from edgeprune.config import Recipe

    recipe = Recipe.load(name)
    code, _, factory = recipe.model.factory.partition(":")
    network = Network(str(recipe.folder / code), factory, str(recipe.weights_path), tuple(recipe.model.input))
    seconds: dict[str, list[float]] = {}
    floats, ints = {}, {}
    for tool in list(pythons) * _PROCESSES:
        floats[tool] = folder / f"{tool}.tflite"
        durations = _converted(tool, pythons[tool], network, floats[tool])
        seconds[tool] = [min(both) for both in zip(durations, seconds.get(tool, durations), strict=True)]
    for tool in pythons:
        ints[tool] = folder / f"{tool}-int8.tflite"
        _quantize(tool, floats[tool], ints[tool], recipe, samples)
    results = {}
    for precision, files in (("float32", floats), ("int8", ints)):
        latency = _latencies(files, runs)
        results[precision] = {
            "operators": {tool: _operators(path) for tool, path in files.items()},
            "file bytes": {tool: path.stat().st_size for tool, path in files.items()},
            "latency ms": latency,
            "arena bytes": {tool: _arena(path) for tool, path in files.items()},
        }
    results["float32"]["conversion s"] = {tool: both[0] for tool, both in seconds.items()}
    results["float32"]["conversion again s"] = {tool: both[1] for tool, both in seconds.items()}
    return results


def _converted(tool: str, python: str, network: Network, path: Path) -> list[float]:
    """Seconds of both conversions in a fresh process."""
    argv = [python, __file__, "--case", tool, json.dumps(network.__dict__), str(path)]
    ended = subprocess.run(argv, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"{tool} fails on {network.code}: {ended.stderr[-2000:]}")
    seconds: list[float] = json.loads(ended.stdout.splitlines()[-1])
    return seconds


def _case(tool: str, network: Network, path: Path) -> None:
    """Convert twice in this process; the last line on stdout is JSON."""
    import torch

    sys.path.insert(0, str(ROOT))
    model, example = network.load(), (torch.randn(network.shape),)
    convert = _by_edgeprune if tool == "EdgePrune" else _by_litert_torch
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        convert(model, example, path)
        seconds.append(time.perf_counter() - started)
    print(f"\n{json.dumps(seconds)}")


def _by_edgeprune(model: nn.Module, example: tuple[Tensor, ...], path: Path) -> None:
    from edgeprune.export.onnx_export import export
    from edgeprune.tflite.conversion import convert

    convert(export(model, example, path.with_suffix(".onnx")).path, path)


def _by_litert_torch(model: nn.Module, example: tuple[Tensor, ...], path: Path) -> None:
    import litert_torch

    images = (example[0].permute(0, 2, 3, 1).contiguous(),)
    litert_torch.convert(litert_torch.to_channel_last_io(model, args=[0]), images).export(str(path))


def _quantize(tool: str, source: Path, path: Path, recipe: Recipe, samples: int) -> None:
    from edgeprune.model import data
    from edgeprune.quantize.calibration_samples import CalibrationSamples
    from edgeprune.tflite.tflite_quantizing import quantize

    train = data.load(recipe.data.function, base=recipe.folder, folder=recipe.data_dir).train
    if tool == "EdgePrune":
        quantize(source, path, train, samples=samples)
        return
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer
    from ai_edge_quantizer import recipe as recipes

    ((key, signature),) = Interpreter(str(source)).get_signature_list().items()
    images = [sample.transpose(0, 2, 3, 1) for sample in CalibrationSamples(train, samples, 0)]
    text = quantizer.Quantizer(str(source), recipes.static_wi8_ai8())
    ranges = text.calibrate({key: [{signature["inputs"][0]: image} for image in images]})
    text.quantize(ranges, enable_progress_bar=False, enable_progress_report=False).export_model(
        str(path), overwrite=True
    )


def _operators(path: Path) -> int:
    from edgeprune.tflite.tflite_file import read

    return len(read(path).subgraphs[0].operators)


def _arena(path: Path) -> int | None:
    from edgeprune.backends.tflm import sandbox
    from edgeprune.errors import ModelError
    from edgeprune.tflite.tflite_file import pack, read

    inside = path.with_name(f"{path.stem}-inside.tflite")
    inside.write_bytes(pack(read(path)))
    try:
        return sandbox.arena(inside).total_bytes
    except ModelError as problem:
        print(f"{path.name}: {problem}", file=sys.stderr)
        return None


def _latencies(files: dict[str, Path], runs: int) -> dict[str, float]:
    """10th percentiles; the files take turns, in an order that cannot keep step with what else the machine does."""
    import numpy as np

    from edgeprune.backends.litert.litert_session import LiteRTSession

    sessions = {tool: LiteRTSession(path) for tool, path in files.items()}
    feeds = {tool: [np.zeros(port.shape, port.dtype) for port in session.inputs] for tool, session in sessions.items()}
    seconds: dict[str, list[float]] = {tool: [] for tool in files}
    generator = random.Random(0)
    for run in range(runs + runs // 10):
        for tool in generator.sample(list(sessions), len(sessions)):
            session = sessions[tool]
            started = time.perf_counter()
            session.run_stored(feeds[tool])
            if run >= runs // 10:
                seconds[tool].append(time.perf_counter() - started)
    return {tool: statistics.quantiles(item, n=10)[0] * 1e3 for tool, item in seconds.items()}


def _print_head(inputs: argparse.Namespace) -> None:
    from importlib.metadata import version

    from scripts.page import processor

    code = "from importlib.metadata import version; print(version('litert-torch'))"
    other = subprocess.run([inputs.litert_torch_python, "-c", code], capture_output=True, text=True, check=False)
    if other.returncode:
        raise SystemExit(f"{inputs.litert_torch_python} has no litert-torch: pip install 'edgeprune[bench]'")
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "ai-edge-litert", "ai-edge-quantizer"))
    print(f"{processor()}; litert-torch {other.stdout.strip()}, {versions}, tflite-micro {version('tflite-micro')};")
    print(f"{inputs.samples} samples for calibration, {inputs.runs} inferences of each file.")


def _print_network(name: str, result: dict[str, Any]) -> int:
    """A table; how many bars are missed."""
    print(f"\n| {name} | {' | '.join(_TOOLS)} | ratio | at most | |\n|---|---:|---:|---:|---:|---|")
    missed = 0
    for precision, figures in result.items():
        for what, values in figures.items():
            theirs, ours = (values[tool] for tool in _TOOLS)
            text = " | ".join("-" if value is None else f"{value:,.4g}" for value in (theirs, ours))
            text = (
                text if isinstance(ours, float) else f"{theirs if theirs is None else format(theirs, ',')} | {ours:,}"
            )
            ratio = None if theirs is None or ours is None else ours / theirs
            remaining = ours is not None and (ratio is None or ratio <= _BARS[what])
            missed += not remaining
            output = "-" if ratio is None else f"{ratio:.3f}"
            print(
                f"| {precision}, {what} | {text} | {output} | {_BARS[what]:.3g} | {'kept' if remaining else 'MISSED'} |"
            )
    return missed


if __name__ == "__main__":
    sys.exit(main())
