"""Networks of PyTorch, exported and imported again: same outputs, prunable, trainable, and exportable."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from edgeprune import load_onnx, prune
from edgeprune.export.onnx_export import export
from edgeprune.model.output_difference import distance, tensors
from edgeprune.model.port_names import port_names
from tests.networks import collection
from tests.zoo import networks as zoo

_TOLERANCE = 1e-4
_EXPORTERS = ("edgeprune", "torch.export", "tracing-11", "tracing-13", "tracing-17")
_NOT_TRACED = {
    "resampled": (11, 13, 17), "grouped-queries": (11, 13, 17), "tokens-and-positions": (11, 13),
    "repeated-keys": (11,), "parametrised": (11, 13, 17),
}  # fmt: skip
"""Networks with operators that torch's exporter by tracing does not support in these opsets."""
_ZOO = ("resnet18", "mobilenet_v3_small", "shufflenet_v2_x1_0", "densenet121", "squeezenet1_1", "swin_t",
        "ssdlite320_mobilenet_v3_large")  # fmt: skip


def _exported(network: nn.Module, example: tuple[Tensor, ...], exporter: str, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if exporter == "edgeprune":
            export(network, example, path)
        elif exporter == "torch.export":
            torch.onnx.export(network, example, path, dynamo=True, external_data=False, verbose=False)
        else:
            opset = int(exporter.partition("-")[2])
            torch.onnx.export(network, example, str(path), dynamo=False, opset_version=opset)
    return path


def _check(path: Path, example: tuple[Tensor, ...]) -> nn.Module:
    """Import ``path``, and compare it with ONNX Runtime on the example, and with itself on twice the example."""
    network = load_onnx(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_inputs()]
    assert port_names(network).inputs == tuple(names)
    expected = session.run(None, {name: value.numpy() for name, value in zip(names, example, strict=True)})
    with torch.no_grad():
        actual = tensors(network(*example))
        twice = tensors(network(*(torch.cat([value, value.flip(0)]) for value in example)))
    assert distance([torch.from_numpy(value) for value in expected], actual) <= _TOLERANCE
    assert all(len(one) == 2 * len(other) for one, other in zip(twice, actual, strict=True))
    return network


def _check_pruning(network: nn.Module, example: tuple[Tensor, ...], folder: Path) -> None:
    pruned = prune(network, example, budget={"macs": 0.7})
    assert pruned.equivalence is not None
    assert pruned.equivalence.max_error < 1e-4
    assert pruned.after.macs <= 0.7 * pruned.before.macs
    names = port_names(network)
    exported = export(pruned.model, example, folder / "pruned.onnx")
    assert (exported.input_names, exported.output_names) == (names.inputs, names.outputs)
    session = onnxruntime.InferenceSession(exported.path, providers=["CPUExecutionProvider"])
    actual = session.run(None, {name: one.numpy() for name, one in zip(names.inputs, example, strict=True)})
    with torch.no_grad():
        expected = tensors(pruned.model.eval()(*example))
    assert distance(expected, [torch.from_numpy(value) for value in actual]) <= 1e-3
    model = pruned.model.train()
    loss = sum(output.float().square().mean() for output in tensors(model(*example)))
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(
    "exporter", [_EXPORTERS[0], *(pytest.param(exporter, marks=pytest.mark.long) for exporter in _EXPORTERS[1:])]
)
@pytest.mark.parametrize("name", collection.cases())
def test_network_is_imported(name: str, exporter: str, tmp_path: Path) -> None:
    if exporter in [f"tracing-{opset}" for opset in _NOT_TRACED.get(name, ())]:
        pytest.skip("torch does not export it")
    network, example = collection.make(name)
    imported = _check(_exported(network, example, exporter, tmp_path / "net.onnx"), example)
    with torch.no_grad():
        assert distance(tensors(network(*example)), tensors(imported(*example))) <= _TOLERANCE


@pytest.mark.parametrize("name", collection.cases())
def test_imported_network_is_pruned_trained_and_exported(name: str, tmp_path: Path) -> None:
    network, example = collection.make(name)
    imported = load_onnx(_exported(network, example, "edgeprune", tmp_path / "net.onnx"))
    _check_pruning(imported, example, tmp_path)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("exporter", ["edgeprune", "tracing-13"])
@pytest.mark.parametrize("name", _ZOO)
def test_zoo_network_is_imported_and_pruned(name: str, exporter: str, tmp_path: Path) -> None:
    if missing := zoo.missing_packages(name):
        pytest.skip(f"{', '.join(missing)} is not installed: see scripts/install")
    network, example = zoo.make(name)
    assert isinstance(example, tuple)
    imported = _check(_exported(network, example, exporter, tmp_path / "net.onnx"), example)
    if exporter == "edgeprune":
        _check_pruning(imported, example, tmp_path)
