#!/usr/bin/env python3
"""Prints what static int8 quantization makes of ResNet-56 on this machine, by calibration method; as Markdown.

    python scripts/bench_quantization.py
    python scripts/bench_quantization.py --samples 256 --threads 1 --seeds 0 1 2 --test
    python scripts/bench_quantization.py --tflite 500 --samples 100 --test
    python scripts/bench_quantization.py --divergence --recipe cifar10-mobilenetv2

Seconds are those of the whole quantization, from the float ONNX file to the int8 one; processor seconds beside them, as
other programs may run. Accuracies are ONNX Runtime's over the whole split. Latency is measured in turn with the float
file. Calibration samples come from the training part; --test shows the test part, which no choice may be made on.
--tflite N is about TFLite: float and int8 on LiteRT over the whole split, int8 on TFLite Micro over its first N.
--divergence is about what each calibration changes, in ONNX Runtime's file and in TensorRT's: the Kullback-Leibler
divergence of the class probabilities from those of the float file, in nats, which tells more of two files than
accuracies do, and needs no labels that a network may have learned by heart.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402

from edgeprune.backends.litert import litert_session as litert  # noqa: E402
from edgeprune.backends.onnxruntime.onnxruntime_session import evaluate, predictor  # noqa: E402
from edgeprune.backends.tensorrt.precision_variants import write_int8  # noqa: E402
from edgeprune.backends.tflm import host_comparison  # noqa: E402
from edgeprune.config import Recipe  # noqa: E402
from edgeprune.export.onnx_export import export  # noqa: E402
from edgeprune.model import data, network  # noqa: E402
from edgeprune.model.data import Data  # noqa: E402
from edgeprune.model.splits import Split  # noqa: E402
from edgeprune.profile import measure  # noqa: E402
from edgeprune.quantize import METHODS, activations_for, quantize  # noqa: E402
from edgeprune.quantize.calibration_samples import CalibrationSamples  # noqa: E402
from edgeprune.tflite import conversion  # noqa: E402
from edgeprune.tflite.tflite_quantizing import quantize as quantize_tflite  # noqa: E402
from scripts.page import processor  # noqa: E402

_CASES = [(method, equalization) for method in METHODS for equalization in (False, True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="cifar10-resnet56")
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1, help="of one inference, where latency is measured")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the draw of calibration samples")
    parser.add_argument("--test", action="store_true")
    parser.add_argument("--tflite", type=int, metavar="N")
    parser.add_argument("--divergence", action="store_true")
    arguments = parser.parse_args()
    recipe = Recipe.load(arguments.recipe)
    loaded = data.load(recipe.data.function, base=recipe.folder, folder=recipe.data_dir)
    model = network.load_model(recipe.model.factory, recipe.weights_path, base=recipe.folder)
    activations = activations_for(platform.machine())
    splits = {"validation": loaded.validation, **({"test": loaded.test} if arguments.test and loaded.test else {})}
    with tempfile.TemporaryDirectory() as folder:
        source = export(model, network.example_inputs(recipe.model.input), Path(folder) / "float.onnx").path
        if arguments.tflite is not None:
            print(_tflite(source, loaded.train, splits, arguments))
            return
        if arguments.divergence:
            print(_divergences(source, loaded, arguments))
            return
        paths, seconds = {"float32": source}, {"float32": "| "}
        for method, equalization in _CASES:
            for seed in arguments.seeds:
                name = f"{method}{', equalized' * equalization}, seed {seed}"
                wall, cpu = time.perf_counter(), time.process_time()
                result = quantize(
                    source,
                    Path(folder) / f"{name}.onnx",
                    loaded.train,
                    method=method,
                    samples=arguments.samples,
                    seed=seed,
                    activations=activations,
                    equalization=equalization,
                )
                seconds[name] = f"{time.perf_counter() - wall:.1f} | {time.process_time() - cpu:.1f}"
                paths[name] = result.path
                print(f"{name}: {seconds[name]}", file=sys.stderr)
        accuracies = {
            name: [evaluate(path, split).accuracy for split in splits.values()] for name, path in paths.items()
        }
        profile = measure(paths, threads=arguments.threads, spinning=False)
        print(
            f"{recipe.name}, {arguments.samples} samples, activations {activations}, {arguments.threads} thread(s);",
            end=" ",
        )
        print(f"{processor()}, Python {platform.python_version()}, onnxruntime {onnxruntime.__version__}\n")
        columns = ["seconds", "CPU s", "bytes", *splits, "p50 ms", "ratio", "95 %"]
        print(f"| | {' | '.join(columns)} |")
        print(f"|---|{'---:|' * len(columns)}")
        for name, path in paths.items():
            ratio = profile.ratios.get(name)
            latency = f"{ratio.value:.2f} | {ratio.low:.2f} to {ratio.high:.2f}" if ratio else "1 | "
            text = " | ".join(f"{100 * accuracy:.2f} %" for accuracy in accuracies[name])
            p50 = profile.models[name].latency_ms.p50
            print(f"| {name} | {seconds[name]} | {path.stat().st_size:,} | {text} | {p50:.2f} | {latency} |")


def _divergences(source: Path, loaded: Data, value: argparse.Namespace) -> str:
    """The table of what each calibration changes, on validation data."""
    inputs, labels = (part.numpy() for part in next(iter(loaded.validation.batches(len(loaded.validation)))))
    expected = predictor(source)(inputs)[0]
    rows = []
    for method in METHODS:
        for seed in value.seeds:
            samples = CalibrationSamples(loaded.train, value.samples, seed)
            ours = source.with_name("int8.onnx")
            quantize(source, ours, loaded.train, method=method, samples=value.samples, seed=seed)
            theirs, _ = write_int8(source, source.parent, samples, method=method)
            for runtime, path in (("ONNX Runtime", ours), ("TensorRT", theirs)):
                got = predictor(path)(inputs)[0]
                same = (got.argmax(1) == expected.argmax(1)).mean()
                divergence = _log_softmax(expected) - _log_softmax(got)
                nats = (np.exp(_log_softmax(expected)) * divergence).sum(1).mean()
                shares = [f"{100 * share:.2f} %" for share in (same, (got.argmax(1) == labels).mean())]
                rows.append(f"| {runtime} | {method}, seed {seed} | {nats:.5f} | {' | '.join(shares)} |")
                print(rows[-1], file=sys.stderr, flush=True)
    exact = f"{100 * (expected.argmax(1) == labels).mean():.2f} %"
    head = f"{value.recipe}, {value.samples} samples, {len(labels)} of validation, float {exact}, {processor()}, "
    head += f"onnxruntime {onnxruntime.__version__}\n"
    columns = ["divergence", "same class", "accuracy"]
    return "\n".join([head, f"| file | | {' | '.join(columns)} |", f"|---|---|{'---:|' * len(columns)}", *sorted(rows)])


def _log_softmax(scores: np.ndarray) -> np.ndarray:
    shifted = scores - scores.max(1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))


def _tflite(source: Path, train: Split, splits: dict[str, Split], value: argparse.Namespace) -> str:
    """The table of the TFLite files."""
    lowered = conversion.convert(source, source.with_suffix(".tflite"))
    int8 = quantize_tflite(lowered, source.with_name("int8.tflite"), train, samples=value.samples, seed=value.seeds[0])
    rows = []
    for name, split in splits.items():
        whole = [litert.evaluate(path, split).accuracy for path in (lowered.path, int8.path)]
        inputs, labels = next(iter(split.batches(value.tflite)))
        compared = host_comparison.compare(int8.path, inputs.numpy(), labels=labels.numpy())
        exact = litert.evaluate(lowered.path, split, samples=value.tflite).accuracy
        assert compared.accuracy is not None
        assert compared.litert_accuracy is not None
        shares = [*whole, exact, compared.litert_accuracy, compared.accuracy]
        cells = [f"{len(split)}", *(f"{share:.2%}" for share in shares), f"{compared.worst_steps}"]
        rows.append(f"| {name} | {' | '.join(cells)} |")
        print(rows[-1], file=sys.stderr, flush=True)
    first = f"first {value.tflite}"
    columns = ["samples", "float LiteRT", "int8 LiteRT", f"{first}: float LiteRT", "int8 LiteRT", "int8 TFLM", "steps"]
    head = f"{value.recipe}, {value.samples} calibration samples, {processor()}\n"
    return "\n".join([head, f"| | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}", *rows])


if __name__ == "__main__":
    main()
