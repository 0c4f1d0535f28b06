"""The runner of TFLite files: LiteRT itself, and what it has in common with the runner of ONNX files."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgeprune.backends.onnxruntime.onnxruntime_backend import SCRIPT
from edgeprune.export.onnx import export
from edgeprune.model.data import TensorSplit
from edgeprune.profile import predict
from edgeprune.profile.protocol import default_scripts
from edgeprune.tflite.conversion import convert
from edgeprune.tflite.tflite_quantizing import quantize
from tests.imports import imported

_LITERT = default_scripts(Path("model.tflite"))[0]
_OF_THE_RUNTIME = {"random_inputs", "run_samples", "_machine", "main"}
_OF_THE_RUNTIME |= {f"Server.{name}" for name in ("__init__", "load", "machine")}


@pytest.fixture(scope="module")
def model(shared_data: Path) -> Path:
    pytest.importorskip("ai_edge_litert", reason="no LiteRT here")
    return shared_data / "models" / "mlperf_tiny_ic_int8.tflite"


def functions(path: Path) -> dict[str, str]:
    """The code of each function and method of a script that has nothing of the runtime in it."""
    found = {}
    for outer in ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8)).body:
        inner = outer.body if isinstance(outer, ast.ClassDef) else []
        for function in (outer, *inner):
            if isinstance(function, ast.FunctionDef):
                name = function.name if function is outer else f"{outer.name}.{function.name}"
                for argument in function.args.args:
                    argument.annotation = None
                found[name] = ast.unparse(function)
    return {name: code for name, code in found.items() if name not in _OF_THE_RUNTIME}


def test_what_both_runners_do_is_written_the_same_in_both() -> None:
    onnx, litert = functions(SCRIPT), functions(_LITERT)
    both = set(onnx) & set(litert)
    assert {
        "time_runs",
        "peak_memory",
        "start_memory",
        "core_count",
        "serve",
        "Server.warm_up",
        "Server.measure",
    } <= both
    assert {name: litert[name] for name in both} == {name: onnx[name] for name in both}


def test_it_needs_numpy_and_a_runtime_only() -> None:
    assert imported(_LITERT) - sys.stdlib_module_names == {"numpy", "ai_edge_litert", "tflite_runtime"}


def test_images_in_either_layout_give_what_litert_gives(model: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.float32)
    interpreter = Interpreter(str(model))
    interpreter.allocate_tensors()
    (into,), (out,) = interpreter.get_input_details(), interpreter.get_output_details()
    expected = []
    for image in images:
        interpreter.set_tensor(into["index"], (image[None] - 128).astype(np.int8))
        interpreter.invoke()
        expected.append((interpreter.get_tensor(out["index"])[0] + 128.0) / 256)
    for given in (images, images.transpose(0, 3, 1, 2)):
        (found,) = predict(model, given, runner=_LITERT).values()
        np.testing.assert_array_equal(found, expected)


def test_signals_and_images_come_out_as_the_network_returns_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    signals = nn.Sequential(nn.Conv1d(5, 8, 3), nn.ReLU(), nn.Conv1d(8, 6, 1)).eval()
    images = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    for network, x in ((signals, torch.randn(4, 5, 12)), (images, torch.randn(2, 3, 8, 8))):
        source = convert(export(network, (x[:1],), tmp_path / "m.onnx").path, tmp_path / "m.tflite")
        int8 = quantize(source, tmp_path / "int8.tflite", TensorSplit(x, torch.zeros(len(x), dtype=torch.long)))
        with torch.no_grad():
            expected = network(x).numpy()
        for path, tolerance in ((source.path, 1e-4), (int8.path, 0.1)):
            for samples in (x.numpy(), x.numpy().transpose(source.inputs[0].order)):
                (found,) = predict(path, samples, runner=_LITERT).values()
                np.testing.assert_allclose(found, expected, atol=tolerance)


def test_it_speaks_the_protocol(model: Path, tmp_path: Path) -> None:
    commands = [
        {"do": "load", "model": str(tmp_path / "none.tflite"), "threads": 1, "spinning": True, "seed": 0},
        {"do": "load", "model": str(model), "threads": 1, "spinning": True, "seed": 0},
        {"do": "warm_up", "at_least": 3, "at_most_s": 1},
        {"do": "measure", "warm_up": 1, "runs": 4, "at_least_s": 0},
        {"do": "memory"},
        {"do": "end"},
    ]
    given = "".join(json.dumps(command) + "\n" for command in commands)
    argv = [sys.executable, str(_LITERT), "--serve"]
    ended = subprocess.run(argv, input=given, capture_output=True, text=True, timeout=600, check=True)
    ready, failed, loaded, warm, block, memory = map(json.loads, ended.stdout.splitlines())
    assert (ready["event"], ready["protocol"], ready["runtime"]) == ("ready", 1, "ai-edge-litert")
    assert failed["event"] == "error"
    assert "none.tflite" in failed["message"]
    assert loaded["threads"] == 1
    assert warm["runs"] >= 3
    assert len(block["latency_ms"]) == 4
    assert memory["peak_bytes"] > memory["baseline_bytes"] > 10e6


def test_samples_that_do_not_fit_are_refused(model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 3, 16, 16), np.float32))
    argv = [sys.executable, str(_LITERT), str(model), "--input", str(tmp_path / "x.npy")]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 1
    assert "the model takes [1, 32, 32, 3], the file holds [2, 3, 16, 16]" in ended.stderr
