#!/usr/bin/env python3
"""Runs a bundle on an NVIDIA GPU, by ONNX Runtime's CUDA provider and by PyTorch, and checks that they agree.

    edgeprune build cifar10-resnet56 --target jetson-orin-nano
    python scripts/check_gpu.py dist/cifar10-resnet56-jetson-orin-nano --recipe cifar10-resnet56
    python scripts/check_gpu.py dist/digits-raspberry-pi-4 --recipe digits --provider cpu    # the same without a GPU

Needs onnxruntime-gpu and PyTorch with CUDA. The reference is the pruned network made anew from the recipe and from
plan.json and weights.safetensors of the bundle, in float32 on the processor. Against it, on validation samples: PyTorch
on the GPU, and each ONNX file of the bundle by the runner that the bundle ships or, for a Jetson, falls back to. The
target's limits of parity hold, but for float32 no closer than what TF32 leaves, which both use unless told otherwise.
Exit code 7: a limit is missed. The latency is that of run.py --benchmark, of the GPU at hand and not of a Jetson's.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

from edgeprune import Plan, Target  # noqa: E402
from edgeprune.bundle.manifest import Manifest  # noqa: E402
from edgeprune.config import Recipe  # noqa: E402
from edgeprune.export.parity import Array, compare  # noqa: E402
from edgeprune.export.parity_result import Parity  # noqa: E402
from edgeprune.model import data, network, weights  # noqa: E402
from scripts.page import processor, write_between  # noqa: E402

PROVIDERS = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}
COLUMNS = ("run by", "largest error, relative", "same class", "latency")


def main() -> None:
    inputs = _arguments()
    if PROVIDERS[inputs.provider] not in onnxruntime.get_available_providers():
        sys.exit(f"ONNX Runtime {onnxruntime.__version__} has no {PROVIDERS[inputs.provider]}: install onnxruntime-gpu")
    if inputs.provider == "cuda" and not torch.cuda.is_available():
        sys.exit(f"torch {torch.__version__} sees no NVIDIA GPU here")
    manifest, recipe = Manifest.load(inputs.bundle), Recipe.load(inputs.recipe)
    model, samples = _pruned(inputs.bundle, recipe), _samples(recipe, inputs.samples)
    reference = _answers(model, samples, "cpu")
    results = {}
    if inputs.provider == "cuda":
        results["PyTorch"] = compare(reference, _answers(model, samples, "cuda")), ""
    for file in sorted(inputs.bundle.glob("*.onnx")):
        outputs, latency = _by_runner(inputs.bundle, file, samples, inputs.provider)
        results[file.name] = compare(reference, outputs), latency
    missed = [name for name, (parity, _) in results.items() if not _keeps(name, parity, Target.load(manifest.target))]
    text = _page(manifest, inputs, results, missed)
    print(text)
    if inputs.write:
        write_between(inputs.write, f"gpu {manifest.recipe}", f"On an NVIDIA GPU: {manifest.recipe}", text)
    sys.exit(7 if missed else 0)


def _pruned(bundle: Path, recipe: Recipe) -> nn.Module:
    dense = network.load_model(recipe.model.factory, None, base=recipe.folder, seed=recipe.seed)
    example = network.example_inputs(recipe.model.input, recipe.seed)
    model = Plan.load(bundle / "plan.json").apply(dense, example, verify=False, copy=False)
    weights.load_into(model, bundle / "weights.safetensors")
    return model.eval()


def _samples(recipe: Recipe, count: int) -> Array:
    split = data.load(recipe.data.function, base=recipe.folder, folder=recipe.data_dir).validation
    inputs, _ = next(iter(split.batches(min(count, len(split)))))
    samples: Array = inputs.numpy()
    return samples


def _answers(model: nn.Module, samples: Array, device: str) -> Array:
    model = model.to(device)
    with torch.no_grad():
        parts = [model(part.to(device)).float().cpu() for part in torch.from_numpy(samples).split(64)]
    model.to("cpu")
    outputs: Array = torch.cat(parts).numpy()
    return outputs


def _by_runner(bundle: Path, file: Path, samples: Array, provider: str) -> tuple[Array, str]:
    """Outputs and latency, by a process of its own."""
    runner = next(path for path in (bundle / "onnxruntime_runner.py", bundle / "run.py") if path.is_file())
    with tempfile.TemporaryDirectory() as folder:
        inputs, answers = Path(folder) / "samples.npy", Path(folder) / "outputs.npz"
        np.save(inputs, samples)
        argv = [sys.executable, str(runner), str(file), "--provider", provider]
        _run([*argv, "--input", str(inputs), "--output", str(answers)])
        latency = _run([*argv, "--benchmark", "500"]).strip()
        with np.load(answers) as outputs:
            return outputs[outputs.files[0]], latency


def _run(argv: list[str]) -> str:
    ended = subprocess.run(argv, check=False, capture_output=True, text=True)
    if ended.returncode:
        sys.exit(f"{argv[1]} fails with exit code {ended.returncode}: {ended.stderr.strip()[-500:]}")
    return ended.stdout


def _keeps(name: str, parity: Parity, target: Target) -> bool:
    assert parity.top1_agreement is not None
    limits = target.parity
    if "int8" in name:
        return parity.top1_agreement >= limits.int8_top1_agreement
    if "16" in name:
        return parity.top1_agreement >= limits.top1_agreement
    # Ten bits of mantissa, rounded, layer by layer: what TF32 leaves.
    allowed = max(limits.max_error, 2**-8)
    return parity.relative_error <= allowed and parity.top1_agreement >= limits.top1_agreement


def _page(
    manifest: Manifest, inputs: argparse.Namespace, result: dict[str, tuple[Parity, str]], missed: list[str]
) -> str:
    where = torch.cuda.get_device_name() if inputs.provider == "cuda" else processor()
    versions = f"torch {torch.__version__}, ONNX Runtime {onnxruntime.__version__} ({PROVIDERS[inputs.provider]})"
    samples = next(iter(result.values()))[0].samples
    head = f"{manifest.recipe} for {manifest.target}, {samples} validation samples, on {where}; {versions}."
    lines = [head, "", f"| {' | '.join(COLUMNS)} |", "|---|---:|---:|---|"]
    for name, (parity, latency) in result.items():
        lines.append(f"| {name} | {parity.relative_error:.2g} | {parity.top1_agreement:.2%} | {latency} |")
    return "\n".join([*lines, "", f"Beyond the target's limits: {', '.join(missed) or 'nothing'}."])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="folder of a bundle with ONNX files")
    parser.add_argument("--recipe", required=True, help="the recipe it was built with")
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--provider", choices=PROVIDERS, default="cuda")
    parser.add_argument("--write", type=Path, help="put what was seen into this page")
    return parser.parse_args()


if __name__ == "__main__":
    main()
