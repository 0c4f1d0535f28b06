"""Builds of networks for every target that runs Linux: selected precision, file size and accuracy.

    python scripts/bench_targets.py --recipes cifar10-resnet56 --epochs 0 --write docs/benchmarks/targets.md

Bytes and accuracy are those of the files themselves, run by ONNX Runtime on this machine; the latency is this machine's
too, float32 and int8 in turn, and says nothing of the boards. Stages are cached (--cache), so that a second run, or a
target with the channel counts of another, trains nothing again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import onnxruntime  # noqa: E402
import torch  # noqa: E402

from edgeprune import __version__  # noqa: E402
from edgeprune.config import Recipe, Target  # noqa: E402
from edgeprune.pipeline import build  # noqa: E402
from edgeprune.pipeline.build_pipeline import BuildResult  # noqa: E402
from scripts.page import processor, write_between  # noqa: E402

COLUMNS = ("target", "ships", "file kB", "dense", "pruned", "shipped", "int8", "ms here", "int8 ms here")


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    targets = [target for target in map(Target.load, Target.names()) if target.runtime.name in arguments.runtimes]
    sections = []
    with tempfile.TemporaryDirectory() as output:
        for name in arguments.recipes:
            recipe = Recipe.load(name)
            if arguments.epochs is not None:
                recipe = recipe.override({"training.epochs": arguments.epochs})
            rows, reasons = [], []
            for target in targets:
                result = build(recipe, target, output=output, cache=arguments.cache)
                rows.append(_row(result))
                reasons.append(f"- {target.name}: {result.manifest.precision and result.manifest.precision.reason}")
                print(rows[-1], file=sys.stderr, flush=True)
            head = f"**{name}**, {recipe.budget.macs:g} of the MACs, {recipe.training.epochs} epochs"
            lines = [" | ".join(COLUMNS), "|".join("---" for _ in COLUMNS), *(" | ".join(row) for row in rows)]
            sections.append("\n".join([head, "", *(f"| {line} |" for line in lines), "", *reasons]))
    versions = f"EdgePrune {__version__}, torch {torch.__version__}, ONNX Runtime {onnxruntime.__version__}"
    text = "\n\n".join([f"{versions}, {processor()}.", *sections])
    print(text)
    if arguments.write:
        write_between(arguments.write, "targets", "Selected precision, file size and accuracy per target", text)


def _row(result: BuildResult) -> tuple[str, ...]:
    manifest, models = result.manifest, result.profile.models
    assert manifest.precision is not None
    candidates = manifest.precision.candidates
    dense, pruned, shipped = (
        metrics.accuracy for metrics in (manifest.metrics.dense, manifest.metrics.pruned, manifest.metrics.shipped)
    )
    int8 = candidates["int8"].accuracy if "int8" in candidates else None
    return (
        manifest.target,
        manifest.precision.shipped,
        f"{candidates[manifest.precision.shipped].file_bytes / 1e3:.0f}",
        *(_percent(value) for value in (dense, pruned, shipped)),
        f"{_percent(int8)} (validation)",
        f"{models['pruned'].latency_ms.p50:.3f}",
        f"{models['int8'].latency_ms.p50:.3f}" if "int8" in models else "-",
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.2%}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=["digits"])
    parser.add_argument("--runtimes", nargs="+", default=["onnxruntime", "tensorrt"])
    parser.add_argument("--epochs", type=int, help="of fine-tuning; default: the recipe's")
    parser.add_argument("--cache", type=Path, default=Path(".edgeprune"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", type=Path, help="put the report into this page")
    return parser.parse_args()


if __name__ == "__main__":
    main()
