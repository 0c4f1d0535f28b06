"""fp16 written into ONNX files, run on ONNX Runtime's CPU kernels (not on TensorRT)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, TensorProto, numpy_helper
from torch import nn

from edgeprune.backends.tensorrt.fp16_conversion import LARGEST, magnitudes, write_fp16
from edgeprune.backends.tensorrt.qdq_fusion_rules import violations
from edgeprune.errors import DataError, ModelError
from tests.backends.tensorrt.residual import error, exported, images, quantized, run, run_exactly, samples


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fp16")


@pytest.fixture(scope="module")
def plain(folder: Path) -> ModelProto:
    return exported(folder / "model.onnx")


def types(model: ModelProto) -> Counter[str]:
    return Counter(TensorProto.DataType.Name(tensor.data_type) for tensor in model.graph.initializer)


def ends(model: ModelProto) -> set[int]:
    return {value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)}


def test_everything_is_fp16_but_inputs_and_outputs(plain: ModelProto) -> None:
    half = write_fp16(plain)
    assert set(types(half)) == {"FLOAT16"}
    assert ends(half) == {TensorProto.FLOAT}
    kinds = Counter(node.op_type for node in half.graph.node)
    assert kinds["Cast"] == 2
    assert len(half.SerializeToString()) < 0.6 * len(plain.SerializeToString())


def test_outputs_agree_within_what_fp16_can_hold(plain: ModelProto) -> None:
    inputs, half = images(32), write_fp16(plain)
    expected = run(plain, inputs)
    eps = float(np.finfo(np.float16).eps)
    assert error(expected, run(half, inputs)) < 4 * eps
    exact = run_exactly(half, inputs[:4])
    assert eps / 100 < error(expected[:4], exact) < 4 * eps


def test_the_argument_is_not_changed_and_the_result_is_the_same_each_time(plain: ModelProto) -> None:
    before = plain.SerializeToString(deterministic=True)
    first, second = (write_fp16(plain).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second
    assert plain.SerializeToString(deterministic=True) == before


class Overflowing(nn.Module):
    """Passes through values of about 1e5 on the way to ordinary ones."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.first(torch.relu(self.stem(x))) * 1e5) * 1e-5).mean((2, 3))


def test_values_beyond_the_range_of_fp16_stay_in_float32(folder: Path) -> None:
    torch.manual_seed(0)
    plain = exported(folder / "large.onnx", Overflowing().eval())
    inputs = images(4)
    calls = magnitudes(folder / "large.onnx", samples(4))
    assert max(calls.values()) > LARGEST
    expected = run(plain, inputs)
    assert not np.isfinite(run_exactly(write_fp16(plain), inputs)).all()
    guarded = write_fp16(plain, calls)
    assert error(expected, run_exactly(guarded, inputs)) < 0.001
    assert error(expected, run(guarded, inputs)) < 0.001
    assert types(guarded) == {"FLOAT16": 2, "FLOAT": 4}
    assert ends(guarded) == {TensorProto.FLOAT}


def test_a_constant_beyond_the_range_stays_in_float32(folder: Path, plain: ModelProto) -> None:
    large = ModelProto()
    large.CopyFrom(plain)
    bias = next(tensor for tensor in large.graph.initializer if tensor.name.endswith("7.bias"))
    bias.CopyFrom(numpy_helper.from_array(np.full(10, 1e5, np.float32), bias.name))
    got = run_exactly(write_fp16(large), images(2))
    assert np.allclose(got, 1e5, rtol=1e-3)


def test_magnitudes_are_the_largest_of_all_samples(folder: Path, plain: ModelProto) -> None:
    calls = magnitudes(folder / "model.onnx", samples(4))
    assert calls["input"] == pytest.approx(np.abs(images(4)).max())
    assert calls["output"] == pytest.approx(np.abs(run(plain, images(4))).max(), rel=1e-5)


def test_a_sample_with_nan_is_refused(folder: Path, plain: ModelProto) -> None:
    broken = [{"input": np.full((1, 3, 16, 16), np.nan, np.float32)}]
    with pytest.raises(DataError, match=r"sample .*NaN"):
        magnitudes(folder / "model.onnx", broken)


def test_a_network_that_overflows_float32_is_refused(folder: Path) -> None:
    exported(folder / "inf.onnx", nn.Sequential(nn.Conv2d(3, 4, 3), Exponential()).eval())
    with pytest.raises(ModelError, match=r"inf\.onnx: tensor \S+ .*NaN"):
        magnitudes(folder / "inf.onnx", [{"input": sample["input"] * 1000} for sample in samples(2)])


class Exponential(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.exp(x)


def test_a_quantised_network_keeps_its_pairs(folder: Path, plain: ModelProto) -> None:
    int8 = quantized(folder / "model.onnx")
    half = write_fp16(int8)
    assert violations(half) == []
    assert set(types(half)) == {"FLOAT16", "INT8"}
    assert max(entry.version for entry in half.opset_import) == 19
    onnx.checker.check_model(half, full_check=True)
    inputs = images(32)
    assert error(run(int8, inputs), run(half, inputs)) < 0.03


def test_a_channel_of_tiny_weights_does_not_become_nan(folder: Path, plain: ModelProto) -> None:
    tiny = ModelProto()
    tiny.CopyFrom(plain)
    conv = next(node for node in tiny.graph.node if node.op_type == "Conv")
    tensor = next(tensor for tensor in tiny.graph.initializer if tensor.name == conv.input[1])
    values = numpy_helper.to_array(tensor).copy()
    values[0] *= 1e-7
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(tiny, folder / "tiny.onnx")
    int8 = quantized(folder / "tiny.onnx")
    inputs = images(8)
    assert error(run(tiny, inputs), run(write_fp16(int8), inputs)) < 0.05
