"""What a file takes of RAM and flash, and which operator sets the peak."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from edgeprune.backends import tflm
from edgeprune.backends.tflite import convert
from edgeprune.backends.tflm.code import INTERPRETER_BYTES, KERNEL_BYTES, code_bytes
from edgeprune.export.onnx import export
from edgeprune.export.tflite_file import read
from edgeprune.quantize.tflite import FLOAT_OPERATORS, INT8_OPERATORS


def _float(network: nn.Module, folder: Path, *shape: int) -> tflm.Footprint:
    written = export(network.eval(), (torch.randn(shape),), folder / "m.onnx")
    return tflm.footprint(convert(written.path, folder / "m.tflite").path)


def test_the_peak_of_a_chain(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 1), nn.Conv2d(4, 2, 1))
    found = _float(network, tmp_path, 1, 3, 8, 8)
    assert found.peak.operator == "CONV_2D"
    assert [(one.bytes, one.input) for one in found.peak.tensors] == [(8 * 64 * 4, False), (4 * 64 * 4, False)]
    assert found.peak.bytes == 12 * 64 * 4 <= found.arena.nonpersistent_bytes
    assert str(found.peak).startswith("CONV_2D /network.1/Conv with /network.0/Conv 2,048, /network.1/Conv 1,024 ")


def test_an_input_that_sets_the_peak_is_told(tmp_path: Path) -> None:
    found = _float(nn.Sequential(nn.Conv2d(16, 2, 1), nn.Conv2d(2, 2, 1)), tmp_path, 1, 16, 8, 8)
    assert [(one.bytes, one.input) for one in found.peak.tensors] == [(16 * 64 * 4, True), (2 * 64 * 4, False)]
    assert "(the input) 4,096" in str(found.peak)


def test_what_is_read_later_is_alive_in_between(tmp_path: Path) -> None:
    class Shortcut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.first(x)
            return found + self.second(torch.relu(found))

    found = _float(Shortcut(), tmp_path, 1, 4, 8, 8)
    assert found.peak.bytes == 3 * 4 * 64 * 4


def test_scratch_of_optimized_kernels(tmp_path: Path) -> None:
    found = _float(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8)), tmp_path, 1, 3, 8, 8)
    assert found.scratch_bytes == 4 * max(28, 72)  # windows of 3 x 3 x 3 up to a multiple of four, and 3 x 3 x 8
    assert found.arena_bytes == found.arena.restated_for_32_bit + found.scratch_bytes


def test_flash_is_the_file_the_interpreter_and_the_kernels(tmp_path: Path) -> None:
    found = _float(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 1)), tmp_path, 1, 3, 8, 8)
    assert found.operators == {"CONV_2D": 2}
    assert found.code == {"interpreter": INTERPRETER_BYTES, "CONV_2D": KERNEL_BYTES["CONV_2D"]}
    assert found.flash_bytes == found.file_bytes + sum(found.code.values())


def test_every_operator_that_is_written_has_an_estimate() -> None:
    assert {*INT8_OPERATORS, *FLOAT_OPERATORS, "QUANTIZE", "DEQUANTIZE", "RESHAPE"} <= set(KERNEL_BYTES)
    assert code_bytes(["HASHTABLE"])["HASHTABLE"] == max(KERNEL_BYTES.values())


@pytest.mark.parametrize(
    ("name", "peak", "operators"),
    [("ic", 3 * 16 * 32 * 32, {"CONV_2D": 9, "ADD": 3, "AVERAGE_POOL_2D": 1, "FULLY_CONNECTED": 1}), ("ad01", 768, {})],
)
def test_mlperf_tiny(shared_data: Path, name: str, peak: int, operators: dict[str, int]) -> None:
    path = shared_data / "models" / f"mlperf_tiny_{name}_int8.tflite"
    found = tflm.footprint(path)
    assert found.peak.bytes == peak == found.arena.nonpersistent_bytes
    assert operators.items() <= found.operators.items()
    assert sum(found.operators.values()) == len(read(path).subgraphs[0].operators)
