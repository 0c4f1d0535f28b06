"""Static quantization of a trained network: accuracy, what runs on integers, what bad input gets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from edgeprune.errors import DataError, InputError, ModelError
from edgeprune.model.data import TensorSplit
from edgeprune.quantize import METHODS, Method, activations_for, quantize
from tests.quantize.digits import accuracy, digits, executed, trained, write


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(trained(), tmp_path_factory.mktemp("float") / "float.onnx")


def _signature(path: Path) -> list[tuple[str, list[Any], str]]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [(value.name, value.shape, value.type) for value in (*session.get_inputs(), *session.get_outputs())]


@pytest.mark.parametrize("activations", ["int8", "uint8"])
def test_the_whole_network_runs_on_integers_and_keeps_its_accuracy(
    source: Path, tmp_path: Path, activations: Any
) -> None:
    result = quantize(source, tmp_path / "int8.onnx", digits().train, activations=activations)
    assert accuracy(result.path) >= accuracy(source) - 0.01
    assert result.file_bytes == result.path.stat().st_size < source.stat().st_size
    assert result.samples == 256
    assert _signature(result.path) == _signature(source)
    ran = executed(result.path, tmp_path)
    integer = {
        "QLinearConv",
        "QLinearAdd",
        "QLinearConcat",
        "QLinearGlobalAveragePool",
        "QGemm",
        "Flatten",
        "Transpose",
    }
    assert {name for name in ran if name != "QuantizeLinear"} <= integer
    assert ran["QuantizeLinear"] == 1  # the input
    assert ran["QLinearConv"] == 7


def test_weights_are_symmetric_with_a_scale_a_channel(source: Path, tmp_path: Path) -> None:
    model = onnx.load(quantize(source, tmp_path / "int8.onnx", digits().train).path)
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    read = {node.output[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"}
    for conv in (node for node in model.graph.node if node.op_type == "Conv"):
        weights, scale, zero = (tensors[name] for name in read[conv.input[1]].input)
        assert weights.dtype == np.int8
        assert scale.shape == zero.shape == (len(weights),)
        assert not zero.any()


@pytest.mark.long
def test_quantization_prints_nothing_and_leaves_no_files(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    work, out = tmp_path / "work", tmp_path / "out"
    work.mkdir()
    monkeypatch.chdir(work)
    quantize(source, out / "int8.onnx", digits().train, samples=8, method="entropy")
    assert tuple(capfd.readouterr()) == ("", "")
    assert list(work.iterdir()) == []
    assert [path.name for path in out.iterdir()] == ["int8.onnx"]


def test_the_seed_alone_decides_the_bytes(source: Path, tmp_path: Path) -> None:
    def content(seed: int) -> bytes:
        return quantize(source, tmp_path / "int8.onnx", digits().train, samples=16, seed=seed).path.read_bytes()

    first = content(0)
    assert content(0) == first
    assert content(1) != first


@pytest.mark.long
def test_quantization_is_reproducible_in_other_processes(source: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from edgeprune.quantize import quantize;"
        "from tests.quantize.digits import digits;"
        "quantize(Path(sys.argv[1]), Path(sys.argv[2]), digits().train, samples=32, method='percentile')"
    )
    written = []
    for seed in ("1", "2"):
        path = tmp_path / f"{seed}.onnx"
        root = Path(__file__).parents[2]
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}
        subprocess.run([sys.executable, "-c", code, str(source), str(path)], check=True, env=environment, cwd=root)
        written.append(path.read_bytes())
    assert written[0] == written[1]


def test_dynamic_batch_is_preserved(tmp_path: Path) -> None:
    source = write(trained(), tmp_path / "open.onnx", dynamic=True)
    result = quantize(source, tmp_path / "int8.onnx", digits().train, samples=32)
    assert _signature(result.path) == _signature(source)
    assert accuracy(result.path) >= accuracy(source) - 0.02


class _Broken(TensorSplit):
    """One sample of the split is not a number."""

    def take(self, indices: torch.Tensor) -> torch.Tensor:
        durations = super().take(indices).clone()
        durations[indices == 5] = torch.nan
        return durations


def _split(kind: type[TensorSplit], *shape: int) -> TensorSplit:
    return kind(torch.randn(shape), torch.zeros(shape[0], dtype=torch.int64))


@pytest.mark.parametrize(
    ("split", "samples", "message"),
    [
        (_split(_Broken, 20, 1, 8, 8), 256, r"sample \d+ .*seed 0 .*NaN"),
        (_split(TensorSplit, 20, 1, 9, 8), 256, r"\(1, 9, 8\).*\(1, 8, 8\)"),
        (_split(TensorSplit, 0, 1, 8, 8), 256, "got 0 samples"),
        (_split(TensorSplit, 20, 1, 8, 8), 0, "got 0 samples"),
    ],
)
def test_invalid_calibration_data_is_refused(
    source: Path, tmp_path: Path, split: TensorSplit, samples: int, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        quantize(source, tmp_path / "int8.onnx", split, samples=samples)
    assert list(tmp_path.iterdir()) == []


def test_unquantizable_models_are_refused(source: Path, tmp_path: Path) -> None:
    result = tmp_path / "int8.onnx"
    train = digits().train
    with pytest.raises(ModelError, match=r"absent\.onnx"):
        quantize(tmp_path / "absent.onnx", result, train)
    with pytest.raises(ModelError, match=r"two\.onnx: .*\[2, 1, 8, 8\].*batch 1\b"):
        quantize(write(trained(), tmp_path / "two.onnx", shape=(2, 1, 8, 8)), result, train)
    with pytest.raises(ModelError, match="Conv, MatMul"):
        quantize(write(nn.Sequential(nn.ReLU(), nn.Flatten()), tmp_path / "none.onnx"), result, train)
    with pytest.raises(InputError, match=r"'best'.*minmax, entropy, percentile"):
        quantize(source, result, train, method="best")  # type: ignore[arg-type]
    assert not result.exists()
    quantize(source, result, train, samples=8)
    with pytest.raises(ModelError, match=r"int8\.onnx"):
        quantize(result, tmp_path / "again.onnx", train)


@pytest.mark.parametrize("method", METHODS)
def test_activations_that_overflow_are_refused(source: Path, tmp_path: Path, method: Method) -> None:
    model = onnx.load(source)
    weights = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
    huge = np.full(tuple(weights.dims), 3e38, np.float32)
    weights.CopyFrom(onnx.numpy_helper.from_array(huge, weights.name))
    onnx.save(model, tmp_path / "huge.onnx")
    with pytest.raises(ModelError, match="finite"):
        quantize(tmp_path / "huge.onnx", tmp_path / "int8.onnx", digits().train, samples=4, method=method)


def test_each_processor_gets_the_activations_its_kernels_take() -> None:
    assert [activations_for(name) for name in ("x86_64", "AMD64", "aarch64", "arm64", None)] == [
        "uint8", "uint8", "int8", "int8", "int8",
    ]  # fmt: skip
