"""What follows a quantized convolution runs on integers as well, or stays float; nothing is converted in vain."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeprune.model.data import TensorSplit
from edgeprune.quantize import quantize
from tests.quantize.digits import executed, write


class _Between(nn.Module):
    """Two convolutions and what is between them."""

    def __init__(self, between: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.third = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 1)
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        a = self.first(x)
        b = {
            "Add": lambda: a + self.third(a),
            "AveragePool": lambda: functional.avg_pool2d(a, 2),
            "Clip": lambda: functional.relu6(a),
            "Concat": lambda: torch.cat([a[:, :4], self.third(a)[:, :4]], 1),
            "HardSwish": lambda: functional.hardswish(a),
            "LeakyRelu": lambda: functional.leaky_relu(a, 0.1),
            "MaxPool": lambda: functional.max_pool2d(a, 2),
            "Mul": lambda: a * self.third(a),
            "Pad": lambda: functional.pad(self.third(a)[:, :4], (0, 0, 0, 0, 2, 2)),
            "Relu": lambda: functional.relu(a),
            "Resize": lambda: functional.interpolate(a, scale_factor=2.0),
            "Sigmoid": lambda: torch.sigmoid(a),
            "Slice": lambda: a[:, :, ::2, ::2],
            "Split": lambda: torch.cat(torch.split(a, 4, 1)[::-1], 1),
            "Transpose": lambda: a.transpose(2, 3),
            "Reshape": lambda: a.reshape(1, 4, 2, 16, 16).transpose(1, 2).reshape(1, 8, 16, 16),
        }[self.between]()
        return self.second(b)


_INTEGER = {
    "Add": "QLinearAdd", "AveragePool": "QLinearAveragePool", "Concat": "QLinearConcat",
    "LeakyRelu": "QLinearLeakyRelu", "Mul": "QLinearMul", "Sigmoid": "QLinearSigmoid",
}  # fmt: skip


def _executed(between: str, folder: Path) -> dict[str, int]:
    split = TensorSplit(torch.randn(8, 3, 16, 16), torch.zeros(8, dtype=torch.int64))
    source = write(_Between(between), folder / "float.onnx", shape=(1, 3, 16, 16))
    return dict(executed(quantize(source, folder / "int8.onnx", split).path, folder))


@pytest.mark.parametrize(
    "between",
    ["Add", "AveragePool", "Clip", "LeakyRelu", "MaxPool", "Mul", "Relu", "Resize", "Sigmoid", "Split", "Transpose",
     "Reshape"],
)  # fmt: skip
def test_operators_with_integer_kernels_convert_nothing(between: str, tmp_path: Path) -> None:
    ran = _executed(between, tmp_path)
    assert (ran["QuantizeLinear"], ran["DequantizeLinear"]) == (1, 1)  # the input and the output
    assert "Conv" not in ran
    if between in _INTEGER:
        assert ran[_INTEGER[between]] == 1


@pytest.mark.parametrize("between", ["Pad", "Slice"])
def test_data_movement_is_between_one_pair_of_conversions(between: str, tmp_path: Path) -> None:
    ran = _executed(between, tmp_path)
    assert (ran["QuantizeLinear"], ran["DequantizeLinear"]) == (2, 2)
    assert ran[between] == 1


def test_operators_without_integer_kernels_stay_float_between_integer_convolutions(tmp_path: Path) -> None:
    ran = _executed("HardSwish", tmp_path)
    assert ran["QLinearConv"] == 2
    assert "Conv" not in ran
    assert ran["QuantizeLinear"] == 2


def test_a_convolution_without_an_integer_kernel_is_left_as_it_was(tmp_path: Path) -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.up, self.last = nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 4, 2, 2), nn.Conv2d(4, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.up(self.first(x)))

    split = TensorSplit(torch.randn(8, 3, 16, 16), torch.zeros(8, dtype=torch.int64))
    source = write(Mixed(), tmp_path / "float.onnx", shape=(1, 3, 16, 16))
    ran = executed(quantize(source, tmp_path / "int8.onnx", split).path, tmp_path)
    assert (ran["QLinearConv"], ran["ConvTranspose"], ran["QuantizeLinear"]) == (2, 1, 2)
