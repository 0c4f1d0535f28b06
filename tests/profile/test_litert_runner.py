"""The runner of TFLite files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgeprune.export.onnx_export import export
from edgeprune.model.data import TensorSplit
from edgeprune.profile import predict
from edgeprune.profile.interleaved_bench import default_scripts
from edgeprune.tflite.conversion import convert
from edgeprune.tflite.tflite_quantizing import quantize
from tests.imports import imported

pytestmark = pytest.mark.long

_LITERT = default_scripts(Path("model.tflite"))[0]


@pytest.fixture(scope="module")
def model(shared_data: Path) -> Path:
    pytest.importorskip("ai_edge_litert", reason="no LiteRT here")
    return shared_data / "models" / "mlperf_tiny_ic_int8.tflite"


def test_litert_runner_imports_only_numpy_and_litert() -> None:
    assert imported(_LITERT) - sys.stdlib_module_names == {"numpy", "ai_edge_litert", "tflite_runtime"}


def test_images_in_either_layout_have_outputs_of_litert(model: Path) -> None:
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
    for value in (images, images.transpose(0, 3, 1, 2)):
        (result,) = predict(model, value, runner=_LITERT).values()
        np.testing.assert_array_equal(result, expected)


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
                (result,) = predict(path, samples, runner=_LITERT).values()
                np.testing.assert_allclose(result, expected, atol=tolerance)


def test_litert_runner_answers_the_protocol(model: Path, tmp_path: Path) -> None:
    commands = [
        {"do": "load", "model": str(tmp_path / "none.tflite"), "threads": 1, "spinning": True, "seed": 0},
        {"do": "load", "model": str(model), "threads": 1, "spinning": True, "seed": 0},
        {"do": "warm_up", "at_least": 3, "at_most_s": 1},
        {"do": "measure", "warm_up": 1, "runs": 4, "at_least_s": 0},
        {"do": "memory"},
        {"do": "end"},
    ]
    text = "".join(json.dumps(command) + "\n" for command in commands)
    argv = [sys.executable, str(_LITERT), "--serve"]
    ended = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=600, check=True)
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
    assert all(shape in ended.stderr for shape in ("[1, 32, 32, 3]", "[2, 3, 16, 16]"))
