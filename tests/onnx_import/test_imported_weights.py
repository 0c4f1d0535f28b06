"""Weights of imported networks: which are trained, how they are named, and which layers share them."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

from edgeprune import load_onnx
from edgeprune.model.port_names import port_names


def _imported(network: nn.Module, x: Tensor, folder: Path, **options: object) -> nn.Module:
    """Export in evaluation mode, without folding any layer into another."""
    settings = {"opset_version": 13, "do_constant_folding": False, "training": torch.onnx.TrainingMode.PRESERVE}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network.eval(), (x,), str(folder / "net.onnx"), dynamo=False, **{**settings, **options})
    return load_onnx(folder / "net.onnx")


def _layers() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8))


def test_state_dict_has_the_names_of_the_initializers(tmp_path: Path) -> None:
    network = _layers()
    imported = _imported(network, torch.rand(1, 3, 8, 8), tmp_path)
    assert imported.state_dict().keys() == network.state_dict().keys()
    network.load_state_dict(imported.state_dict())
    names = {tensor.name for tensor in onnx.load(tmp_path / "net.onnx").graph.initializer}
    assert set(imported.meta["origins"].values()) <= names


def test_numbered_names_are_replaced_by_the_path_of_the_module(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2, bias=False))
    imported = _imported(network, torch.rand(1, 5, 4), tmp_path, do_constant_folding=True)
    assert imported.state_dict().keys() == network.state_dict().keys()
    assert imported.meta["origins"]["2.weight"].startswith("onnx::")


def test_training_updates_statistics_and_all_weights(tmp_path: Path) -> None:
    imported = _imported(_layers(), torch.rand(1, 3, 8, 8), tmp_path).train()
    before = copy.deepcopy(imported.state_dict())
    optimizer = torch.optim.SGD(imported.parameters(), lr=0.1)
    imported(torch.rand(6, 3, 8, 8)).pow(3).mean().backward()
    optimizer.step()
    same = [name for name, tensor in imported.state_dict().items() if torch.equal(tensor, before[name])]
    # The biases of layers before a batch normalization have no gradient.
    assert set(same) <= {"0.bias", "3.bias"}


def test_dropout_is_active_in_training_mode_only(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(4, 64), nn.Dropout(0.25), nn.Linear(64, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network.eval(), (torch.rand(1, 4),), str(tmp_path / "net.onnx"), dynamo=False)
    model = onnx.load(tmp_path / "net.onnx")
    second = model.graph.node[1]
    dropout = onnx.helper.make_node("Dropout", [second.input[0]], ["dropped"], name="drop")
    model.graph.node.insert(1, dropout)
    second.input[0] = "dropped"
    onnx.save(model, tmp_path / "net.onnx")
    imported, x = load_onnx(tmp_path / "net.onnx"), torch.rand(1, 4)
    torch.testing.assert_close(imported(x), network(x))
    assert not torch.equal(imported.train()(x), imported(x))


def test_equal_tensors_that_exporters_store_once_are_not_shared(tmp_path: Path) -> None:
    """Scales, biases and statistics of both normalizations are the same initializers."""
    imported = _imported(_layers(), torch.rand(1, 3, 8, 8), tmp_path)
    with torch.no_grad():
        imported.get_parameter("1.weight").add_(1)
    assert bool((imported.get_parameter("4.weight") == 1).all())


def test_layers_that_share_weights_share_a_parameter(tmp_path: Path) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.scale = nn.Conv2d(4, 4, 3, padding=1), nn.Parameter(torch.rand(4, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(self.layer(x) * self.scale) * self.scale

    network, x = Twice(), torch.rand(1, 4, 8, 8)
    imported = _imported(network, x, tmp_path)
    assert {name for name, _ in imported.named_parameters()} == {"layer.weight", "layer.bias", "scale"}
    torch.testing.assert_close(imported(x), network(x))


def test_masks_and_constants_of_the_input_are_not_trained(tmp_path: Path) -> None:
    class Constants(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.positions = nn.Linear(4, 6), nn.Parameter(torch.rand(5, 6))
            self.register_buffer("mean", torch.rand(4))
            self.register_buffer("mask", torch.triu(torch.full((5, 5), -100.0), 1))

        def forward(self, x: Tensor) -> Tensor:
            y = self.layer((x - self.mean) / 0.5) + self.positions
            return torch.softmax(y @ y.transpose(1, 2) * 0.25 + self.mask, -1) @ y

    network, x = Constants(), torch.rand(1, 5, 4)
    imported = _imported(network, x, tmp_path)
    assert {name for name, _ in imported.named_parameters()} == {"layer.weight", "layer.bias", "positions"}
    assert {name for name, _ in imported.named_buffers()} == {"mean", "mask"}
    torch.testing.assert_close(imported(x), network(x))


@pytest.mark.parametrize("axes", [{}, {"dynamic_axes": {"x": {0: "batch"}}}])
def test_token_that_is_repeated_for_each_sample_is_trained(axes: dict[str, object], tmp_path: Path) -> None:
    class Token(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.token = nn.Linear(4, 6), nn.Parameter(torch.rand(1, 1, 6))

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([self.token.expand(x.shape[0], -1, -1), self.layer(x)], 1).mean(1)

    network, x = Token(), torch.rand(3, 5, 4)
    imported = _imported(network, x[:1], tmp_path, input_names=["x"], **axes)
    assert {name for name, _ in imported.named_parameters()} == {"layer.weight", "layer.bias", "token"}
    torch.testing.assert_close(imported(x), network(x))


def test_names_of_inputs_and_outputs_survive_a_copy(tmp_path: Path) -> None:
    x = torch.rand(1, 3, 8, 8)
    imported = _imported(_layers(), x, tmp_path, input_names=["image:0"], output_names=["scores/1"])
    names = port_names(copy.deepcopy(imported))
    assert names is not None
    assert (names.inputs, names.outputs) == (("image:0",), ("scores/1",))
    assert port_names(_layers()) is None
