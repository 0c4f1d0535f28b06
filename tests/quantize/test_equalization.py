"""Cross-layer equalisation: ranges become alike, the function stays, and it never reaches past what would change it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import ModelProto, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from edgeprune.quantize import quantize
from edgeprune.quantize.equalization import equalize
from edgeprune.quantize.prepare_onnx import prepare
from tests.quantize.digits import accuracy, digits, trained, unequal, write


def _outputs(model: ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"input": sample[None]})[0] for sample in x])


class _Chain(nn.Module):
    """conv -> between -> conv, with channels of unequal size."""

    def __init__(self, between: str, *, groups: int = 1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, groups=groups)
        self.between = between
        with torch.no_grad():
            self.first.weight.mul_(torch.logspace(-2, 2, 8)[:, None, None, None])

    def forward(self, x: Tensor) -> Tensor:
        a = self.first(x)
        between = {
            "nothing": lambda: a,
            "relu": lambda: functional.relu(a),
            "leaky relu": lambda: functional.leaky_relu(a, 0.2),
            "max pool": lambda: functional.max_pool2d(functional.relu(a), 2),
            "average pool": lambda: functional.avg_pool2d(a, 3, padding=1),
            "relu6": lambda: functional.relu6(a),
            "sigmoid": lambda: torch.sigmoid(a),
            "hard swish": lambda: functional.hardswish(a),
            "addition": lambda: a + functional.relu(a),
            "own square": lambda: a * a,
        }
        return self.second(between[self.between]())


def _prepared(model: nn.Module, folder: Path) -> ModelProto:
    return prepare(write(model, folder / "float.onnx", shape=(1, 3, 12, 12))).model


_X = np.random.default_rng(0).standard_normal((4, 3, 12, 12), np.float32)


@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("between", ["nothing", "relu", "leaky relu", "max pool", "average pool"])
def test_equalization_aligns_ranges_and_keeps_the_function(between: str, groups: int, tmp_path: Path) -> None:
    model = _prepared(_Chain(between, groups=groups), tmp_path)
    before = model.SerializeToString()
    equal = equalize(model)
    assert len(equal.pairs) == 1
    expected = _outputs(model, _X)
    np.testing.assert_allclose(_outputs(equal.model, _X), expected, atol=1e-5 * np.abs(expected).max())
    assert model.SerializeToString() == before
    first, second = (
        numpy_helper.to_array(next(one for one in equal.model.graph.initializer if one.name == name))
        for name in ("first.weight", "second.weight")
    )
    result = np.abs(first).reshape(8, -1).max(1)
    read = np.abs(second.reshape(groups, 8 // groups, 8 // groups, -1)).max((1, 3)).reshape(-1)
    np.testing.assert_allclose(result, read, rtol=1e-2)


@pytest.mark.parametrize("between", ["relu6", "sigmoid", "hard swish", "addition", "own square"])
def test_equalization_stops_at_nonlinear_operators(between: str, tmp_path: Path) -> None:
    model = _prepared(_Chain(between), tmp_path)
    equal = equalize(model)
    assert equal.pairs == ()
    assert equal.model.graph.node == model.graph.node
    assert equal.model.graph.initializer == model.graph.initializer


def test_dead_channels_and_shared_weights_are_left_alone(tmp_path: Path) -> None:
    dead = _Chain("relu")
    with torch.no_grad():
        dead.first.weight[2].zero_()
        dead.second.weight[:, 5].zero_()
    model = _prepared(dead, tmp_path)
    equal = equalize(model)
    np.testing.assert_allclose(_outputs(equal.model, _X), _outputs(model, _X), rtol=1e-4, atol=1e-3)

    class Twice(_Chain):
        def forward(self, x: Tensor) -> Tensor:
            a = functional.relu(self.first(x))
            return self.second(functional.relu(functional.pad(self.second(a), (1, 1, 1, 1))))

    assert equalize(_prepared(Twice("relu"), tmp_path)).pairs == ()


def test_chains_of_a_trained_network_end_where_values_are_read_twice(tmp_path: Path) -> None:
    prepared = prepare(write(trained(), tmp_path / "float.onnx"))
    equal = equalize(prepared.model)
    assert [tuple(name.split("/")[1] for name in pair) for pair in equal.pairs] == [
        ("residual", "residual"), ("depthwise", "pointwise"),
    ]  # fmt: skip
    x = next(digits().validation.batches(16))[0].numpy()
    np.testing.assert_allclose(_outputs(equal.model, x), _outputs(prepared.model, x), atol=1e-5)


@pytest.mark.long
def test_equalization_restores_the_accuracy_of_unequal_channels(tmp_path: Path) -> None:
    source = write(unequal(trained()), tmp_path / "float.onnx")
    exact = accuracy(source)
    plain = quantize(source, tmp_path / "plain.onnx", digits().train)
    equal = quantize(source, tmp_path / "equal.onnx", digits().train, equalization=True)
    assert accuracy(plain.path) < exact - 0.05
    assert accuracy(equal.path) >= exact - 0.01
    assert len(equal.equalized) == 2
    assert plain.equalized == ()
    onnx.checker.check_model(onnx.load(equal.path), full_check=True)
