"""Networks with operators that have no module in torch: the batch size is free, and they are pruned and trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from edgeprune import load_onnx, prune
from edgeprune.export.onnx_export import export
from edgeprune.model.output_difference import distance
from edgeprune.onnx_import.reset_first_gru import ResetFirstGRU

_HIDDEN = 8


@dataclass(frozen=True)
class _Network:
    """Nodes from ``x`` to ``y``, weights of random numbers by name with their shapes, and numbers by name."""

    nodes: Sequence[onnx.NodeProto]
    weights: Mapping[str, tuple[int, ...]]
    numbers: Mapping[str, Sequence[int] | int]
    shape: tuple[int, ...]
    opset: int = 17

    def save(self, path: Path) -> Path:
        random = np.random.default_rng(0)
        constants = {name: np.array(values) for name, values in self.numbers.items()}
        for name, shape in self.weights.items():
            constants[name] = (random.standard_normal(shape) / 2).astype(np.float32)
        graph = helper.make_graph(
            list(self.nodes),
            "network",
            [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None] * len(self.shape))],
            [numpy_helper.from_array(values, name) for name, values in constants.items()],
        )
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=10), path)
        return path


def _gru(*, directions: int) -> _Network:
    """A GRU whose reset gate comes before the recurrent product, and two layers."""
    features = directions * _HIDDEN
    options = {"direction": "bidirectional" if directions > 1 else "reverse", "hidden_size": _HIDDEN}
    return _Network(
        [
            helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
            helper.make_node("GRU", ["t", "gru.w", "gru.r", "gru.b"], ["s"], **options),
            helper.make_node("Transpose", ["s"], ["u"], perm=[2, 0, 1, 3]),
            helper.make_node("Reshape", ["u", "sizes"], ["f"]),
            helper.make_node("MatMul", ["f", "head.weight"], ["h"]),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("MatMul", ["r", "out.weight"], ["y"]),
        ],
        {
            "gru.w": (directions, 3 * _HIDDEN, 6),
            "gru.r": (directions, 3 * _HIDDEN, _HIDDEN),
            "gru.b": (directions, 6 * _HIDDEN),
            "head.weight": (features, 12),
            "out.weight": (12, 5),
        },
        {"sizes": (0, 0, features)},
        (1, 7, 6),
    )


def _power_spectrum() -> _Network:
    """Two convolutions on the power of the frequencies of a signal over time."""
    return _Network(
        [
            helper.make_node("STFT", ["x", "step", "window"], ["s"], onesided=1),
            helper.make_node("ReduceSumSquare", ["s"], ["p"], axes=[3], keepdims=0),
            helper.make_node("Transpose", ["p"], ["t"], perm=[0, 2, 1]),
            helper.make_node("Conv", ["t", "first.weight"], ["a"]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Conv", ["b", "second.weight"], ["y"]),
        ],
        {"window": (16,), "first.weight": (8, 9, 3), "second.weight": (4, 8, 3)},
        {"step": 4},
        (1, 64, 1),
    )


def _attention() -> _Network:
    """The operator Attention on 4 heads, which ONNX defines by a function."""
    products = [helper.make_node("MatMul", ["x", f"{name}.weight"], [name]) for name in "qkv"]
    return _Network(
        [
            *products,
            helper.make_node("Attention", ["q", "k", "v"], ["o"], q_num_heads=4, kv_num_heads=4),
            helper.make_node("MatMul", ["o", "out.weight"], ["y"]),
        ],
        {**{f"{name}.weight": (16, 16) for name in "qkv"}, "out.weight": (16, 6)},
        {},
        (1, 5, 16),
        opset=23,
    )


def _cropped() -> _Network:
    """CenterCropPad, a function that crops one side and pads the other, between two convolutions."""
    return _Network(
        [
            helper.make_node("Conv", ["x", "first.weight"], ["a"]),
            helper.make_node("CenterCropPad", ["a", "sizes"], ["c"], axes=[2, 3]),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("Conv", ["r", "second.weight"], ["y"]),
        ],
        {"first.weight": (8, 3, 3, 3), "second.weight": (4, 8, 3, 3)},
        {"sizes": (4, 8)},
        (1, 3, 8, 8),
        opset=18,
    )


_NETWORKS: dict[str, Callable[[], _Network]] = {
    "gru": lambda: _gru(directions=1),
    "gru-of-two-directions": lambda: _gru(directions=2),
    "stft": _power_spectrum,
    "attention": _attention,
    "center-crop-pad": _cropped,
}


@pytest.mark.parametrize("name", _NETWORKS)
def test_network_follows_the_batch_and_is_pruned_trained_and_exported(name: str, tmp_path: Path) -> None:
    description = _NETWORKS[name]()
    path = description.save(tmp_path / "net.onnx")
    network = load_onnx(path)
    samples = torch.randn(3, *description.shape[1:])
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    expected = torch.cat([torch.from_numpy(session.run(None, {"x": one[None].numpy()})[0]) for one in samples])
    with torch.no_grad():
        assert distance([expected], [network(samples)]) < 1e-5
    pruned = prune(network, (samples[:1],), budget={"macs": 0.7})
    assert pruned.equivalence is not None
    assert pruned.equivalence.max_error < 1e-5
    assert pruned.after.macs <= 0.7 * pruned.before.macs
    exported = export(pruned.model, (samples[:1],), tmp_path / "pruned.onnx")
    with torch.no_grad():
        smaller = pruned.model.eval()(samples)
        assert distance([smaller], [load_onnx(exported.path)(samples)]) < 1e-4
    pruned.model.train()(samples).square().mean().backward()
    assert all(one.grad is not None and bool(one.grad.any()) for one in pruned.model.parameters())


@pytest.mark.parametrize("bidirectional", [False, True])
def test_gru_with_the_reset_gate_first_has_the_parameters_of_torch(bidirectional: bool) -> None:
    """Without recurrent weights of the new state, and with its recurrent bias 0, both layers compute the same."""
    layer, reference = (kind(3, 4, bidirectional=bidirectional) for kind in (ResetFirstGRU, nn.GRU))
    layer.load_state_dict(reference.state_dict())
    x, state = torch.randn(5, 2, 3), torch.randn(2 if bidirectional else 1, 2, 4)
    with torch.no_grad():
        assert distance([reference(x, state)[0]], [layer(x, state)[0]]) > 1e-3
        for name, parameter in [*layer.named_parameters(), *reference.named_parameters()]:
            if "_hh" in name:
                parameter[-4:] = 0
    for initial in (None, state):
        expected, actual = reference(x, initial), layer(x, initial)
        torch.testing.assert_close(actual, expected)
