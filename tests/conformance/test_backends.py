"""Every backend: its files are written, checked, loaded, run, compared and bundled, for three small networks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgeprune.backends import backend, for_target, names
from edgeprune.backends.conversion import Conversion, Quantization, ShippedModel
from edgeprune.config import Recipe, Target
from edgeprune.config.target import Precision
from edgeprune.export.onnx_export import export
from edgeprune.model.data import TensorSplit

_TARGETS: Mapping[str, Target] = {
    "onnxruntime": Target.load("raspberry-pi-4"),
    "litert": Target.load("raspberry-pi-4").with_runtime("litert"),
    "tensorrt": Target.load("jetson-orin-nano"),
    "tflm": Target.load("nucleo-l4r5zi"),
    "ethos_u": Target.load("corstone-300-u55-128"),
}
"""A target of each backend."""
_ERRORS: Mapping[Precision, float] = {"float32": 1e-4, "float16": 5e-3, "int8": 0.1}
"""Largest error of an output in each precision, as a fraction of the largest output of PyTorch."""
_SAMPLES = 16
_SLOW = [("ethos_u", "perceptron"), ("ethos_u", "convolutions")]


class _Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.depthwise = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8), nn.ReLU6())
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head((x + self.depthwise(x)).mean((2, 3)))


_NETWORKS: Mapping[str, tuple[nn.Module, tuple[int, ...]]] = {
    "convolutions": (
        nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU(),
            nn.Flatten(), nn.Linear(8, 4),
        ),
        (1, 8, 8),
    ),
    "residual": (_Residual(), (3, 8, 8)),
    "perceptron": (nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4)), (12,)),
}  # fmt: skip


def test_every_backend_has_a_target_here() -> None:
    assert set(_TARGETS) == set(names())


@pytest.mark.parametrize(
    ("name", "network"),
    [  # Vela takes seconds
        pytest.param(name, network, marks=[pytest.mark.long] if (name, network) in _SLOW else [])
        for name in _TARGETS
        for network in _NETWORKS
    ],
)
def test_backend(name: str, network: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, shape = _NETWORKS[network]
    model = model.eval()
    inputs = torch.randn(_SAMPLES, *shape)
    with torch.no_grad():
        expected = model(inputs).numpy()
    split = TensorSplit(inputs, torch.from_numpy(expected.argmax(1)))
    target, tested = _TARGETS[name], backend(name)
    assert for_target(target) is tested

    exported = export(model, (inputs[:1],), tmp_path / "model.onnx", opset=target.onnx.opset).path
    folder = tmp_path / "made"
    folder.mkdir()
    float32 = tested.write_float32(exported, folder)
    assert float32.suffix == tested.suffix
    tested.check_file(float32)
    conversion = Conversion(file=float32, folder=folder, target=target, samples=split, seed=0)
    footprint = tested.footprint(tested.check_network(conversion), target)
    assert (footprint is None) == (not target.limits)

    files: dict[Precision, Path] = {"float32": float32}
    others: tuple[Path, ...] = ()
    settings = Recipe.load("digits").quantize.model_copy(update={"max_accuracy_drop": 1.0})
    quantization = Quantization(
        **vars(conversion),
        settings=settings,
        accuracy=lambda path: tested.host.evaluate(path, split).accuracy,
        float32_accuracy=tested.host.evaluate(float32, split).accuracy,
    )
    assert quantization.float32_accuracy == 1.0
    for precision in target.runtime.precisions:
        if precision not in files:
            written = tested.write(precision, quantization)
            assert all(path.parent == folder for path in written.files)
            files[precision], *more = written.files
            others = tuple(more)
            assert written.accuracy is None or written.accuracy >= 0.75
    for precision, file in files.items():
        (outputs,) = tested.host.predictor(file)(inputs.numpy())
        error = np.abs(outputs - expected).max() / np.abs(expected).max()
        assert error <= _ERRORS[precision], precision

    *_, shipped = files.values()
    if footprint is not None:
        agreement = tested.compare_with_host(shipped, inputs.numpy(), classes=True, labels=None)
        assert agreement is not None
        assert agreement.samples == _SAMPLES
        shipped_footprint = tested.footprint(shipped, target)
        assert shipped_footprint is not None
        latency = tested.estimate_latency(shipped_footprint, target, macs=1000)
        assert latency is not None
        assert latency.latency_ms > 0
        assert all(0 < value < target.limits[cost] for cost, value in footprint.costs.items())
    bundled = tested.bundle_files(
        ShippedModel(file=shipped, name="net", target=target, samples=split, other_files=others)
    )
    assert bundled
    assert all(content.is_file() if isinstance(content, Path) else content for content in bundled.values())
    assert (tested.runner is None) == ("run.py" not in bundled)
