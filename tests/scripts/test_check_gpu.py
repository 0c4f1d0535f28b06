"""The check of a bundle on a GPU: all of it but the GPU, which no machine of CI has."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import pytest

pytestmark = pytest.mark.long
SCRIPT = Path(__file__).parents[2] / "scripts" / "check_gpu.py"


@pytest.fixture(scope="module")
def bundle(digits_bundle: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = digits_bundle("jetson-orin-nano", {"training.epochs": 0, "quantize.max_accuracy_drop": 0.2})
    return Path(shutil.copytree(built, tmp_path_factory.mktemp("gpu") / "bundle"))


def check(bundle: Path, *options: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(SCRIPT), str(bundle), "--recipe", "digits", *options]
    return subprocess.run(argv, check=False, capture_output=True, text=True)


def test_every_file_of_the_bundle_is_compared(bundle: Path, tmp_path: Path) -> None:
    page = tmp_path / "targets.md"
    ended = check(bundle, "--provider", "cpu", "--samples", "100", "--write", str(page))
    assert ended.returncode == 0, ended.stderr
    assert "digits for jetson-orin-nano, 100 validation samples" in ended.stdout
    for file in bundle.glob("*.onnx"):
        assert f"| {file.name} |" in page.read_text()


def test_another_network_is_beyond_the_limits(bundle: Path) -> None:
    other = bundle / "model.onnx"
    content = other.read_bytes()
    other.write_bytes((bundle / "model.int8.onnx").read_bytes())
    try:
        ended = check(bundle, "--provider", "cpu", "--samples", "20")
    finally:
        other.write_bytes(content)
    assert ended.returncode == 7
    assert "Beyond the target's limits: model.onnx." in ended.stdout


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="there is a GPU")
def test_missing_gpu_is_an_error(bundle: Path) -> None:
    ended = check(bundle)
    assert ended.returncode == 1
    assert "has no CUDAExecutionProvider: install onnxruntime-gpu" in ended.stderr
