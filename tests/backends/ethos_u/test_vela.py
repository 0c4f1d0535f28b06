"""Vela compiles int8 files: operators, estimates, reproducible bytes, and errors."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from edgeprune.backends import backend, for_target
from edgeprune.backends.conversion import Conversion
from edgeprune.backends.ethos_u import vela
from edgeprune.backends.ethos_u.compiled_footprint import compiled_footprint
from edgeprune.backends.ethos_u.ethos_u_options import Options
from edgeprune.config import Target
from edgeprune.errors import MissingPackageError, ModelError, TargetError
from edgeprune.export.onnx_export import export
from edgeprune.model.data import TensorSplit

_TARGET = Target.load("corstone-300-u55-128")
_OPTIONS = Options.of(_TARGET)


class _Cosine(nn.Module):
    """Two convolutions with a cosine between them, for which Ethos-U55 has no operator."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(torch.relu(self.second(torch.cos(self.first(x)))).mean((2, 3)))
        return scores


def _conversion(model: nn.Module, folder: Path) -> Conversion:
    torch.manual_seed(0)
    inputs = torch.randn(8, 3, 8, 8)
    exported = export(model.eval(), (inputs[:1],), folder / "model.onnx", opset=_TARGET.onnx.opset).path
    float32 = backend("ethos_u").write_float32(exported, folder)
    samples = TensorSplit(inputs, torch.zeros(8, dtype=torch.long))
    return Conversion(file=float32, folder=folder, target=_TARGET, samples=samples, seed=0)


@pytest.fixture(scope="module")
def convolutions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An int8 file that Ethos-U55 runs as a whole."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(144, 4))
    return backend("ethos_u").write_for_footprint(_conversion(network, tmp_path_factory.mktemp("convolutions")))


def test_compiled_file_has_the_custom_operator(convolutions: Path, tmp_path: Path) -> None:
    compiled = vela.compile_file(convolutions, tmp_path / "compiled.tflite", _OPTIONS)
    assert vela.operators(vela.read(compiled.file)) == [vela.CUSTOM] == ["ethos-u"]
    estimate = compiled.estimate
    assert estimate.fallback == ()
    assert min(estimate.sram_bytes, estimate.flash_bytes, estimate.cycles) > 0
    result = compiled_footprint(convolutions, compiled)
    assert result.operators == {"ethos-u": 1}
    assert result.file_bytes == compiled.file.stat().st_size
    assert result.arena_bytes > result.arena.nonpersistent_bytes == estimate.sram_bytes


def test_compiled_bytes_do_not_depend_on_folder_or_name(convolutions: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "renamed.tflite"
    other.parent.mkdir()
    other.write_bytes(convolutions.read_bytes())
    first = vela.compile_file(convolutions, tmp_path / "first.tflite", _OPTIONS)
    second = vela.compile_file(other, tmp_path / "second.tflite", _OPTIONS)
    assert first.file.read_bytes() == second.file.read_bytes()
    assert first.estimate == second.estimate


def test_accelerator_of_the_options_changes_the_estimate(convolutions: Path, tmp_path: Path) -> None:
    other = Options.of(Target.load("alif-ensemble-e7"))
    estimates = [vela.compile_file(convolutions, tmp_path / "x.tflite", each).estimate for each in (_OPTIONS, other)]
    assert estimates[0].cycles != estimates[1].cycles


@pytest.mark.long
def test_operators_on_the_cpu_are_named_with_reasons(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = backend("ethos_u").check_network(_conversion(_Cosine(), tmp_path))
    compiler = vela.compile_file(path, tmp_path / "compiled.tflite", _OPTIONS).estimate
    reasons = {operator.kind: operator.reason for operator in compiler.fallback}
    assert reasons["COS"] == "Unsupported opType"
    (warning,) = (message for message in caplog.messages if "COS" in message)
    assert "/Cos" in warning
    assert "Unsupported opType" in warning
    result = backend("ethos_u").footprint(path, _TARGET)
    assert result is not None
    assert result.operators["COS"] == 1
    latency = backend("ethos_u").estimate_latency(result, _TARGET, macs=1)
    assert latency is not None
    assert latency.cycles == compiler.cycles
    assert latency.latency_ms == compiler.cycles / 32e3
    assert str(len(compiler.fallback)) in latency.source


def test_missing_vela_names_the_extra(convolutions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("ethosu", "ethosu.vela"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPackageError, match=r"pip install 'edgeprune\[ethos-u\]'"):
        vela.compile_file(convolutions, tmp_path / "compiled.tflite", _OPTIONS)


def test_file_that_vela_cannot_read_is_a_model_error(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(b"\x1c\0\0\0TFL3" + b"\xff" * 64)
    with pytest.raises(ModelError, match=r"damaged\.tflite.*ethos-u55-128"):
        vela.compile_file(damaged, tmp_path / "compiled.tflite", _OPTIONS)
    assert not (tmp_path / "compiled.tflite").exists()


@pytest.mark.parametrize(
    ("target", "changed", "named"),
    [
        ("corstone-300-u55-128", {"accelerator_config": "ethos-u55-127"}, "ethos-u55-127"),
        ("corstone-300-u55-128", {"memory_mode": "Dedicated_Sram"}, "Dedicated_Sram"),
        ("corstone-300-u55-128", {"memory_mode": None}, "nothing"),
        ("corstone-300-u55-128", {"cores": 2}, "cores"),
        ("corstone-300", {"accelerator_config": "ethos-u55-128"}, "accelerator_config"),
        ("raspberry-pi-4", {"accelerator_config": "ethos-u55-128"}, "accelerator_config"),
    ],
)
def test_options_are_checked(target: str, changed: Mapping[str, str | int | None], named: str) -> None:
    values = Target.load(target).model_dump()
    options = {**values["runtime"]["options"], **changed}
    values["runtime"]["options"] = {name: value for name, value in options.items() if value is not None}
    with pytest.raises(TargetError, match=rf"{target}.*{named}.*runtime\.options"):
        for_target(Target.parse(values, where="test"))


def test_timeout_is_a_model_error(convolutions: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"Vela.* 0 s"):
        vela.compile_file(convolutions, tmp_path / "compiled.tflite", _OPTIONS, timeout_s=0.01)
    assert not (tmp_path / "compiled.tflite").exists()
