"""What a file takes of RAM and flash, and which operator sets the peak."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from torch import nn

from edgeprune.backends.footprint import Footprint
from edgeprune.backends.tflm import cmsis_nn
from edgeprune.backends.tflm.interpreter import Interpreter
from edgeprune.backends.tflm.kernel_sizes import BASE_BYTES, code_bytes, golden_count
from edgeprune.backends.tflm.memory_plan import activations, planned_bytes
from edgeprune.backends.tflm.tflm_footprint import footprint
from edgeprune.export.onnx_export import export
from edgeprune.operator_facts.tflite_operators import TFLITE
from edgeprune.tflite.conversion import convert
from edgeprune.tflite.tflite_file import read
from tests.tflite.tflite_files import File


def _float(network: nn.Module, folder: Path, *shape: int) -> Footprint:
    written = export(network.eval(), (torch.randn(shape),), folder / "m.onnx")
    return footprint(convert(written.path, folder / "m.tflite").path)


def test_peak_of_a_chain_is_two_adjacent_tensors(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 1), nn.Conv2d(4, 2, 1))
    result = _float(network, tmp_path, 1, 3, 8, 8)
    assert result.peak.operator == "CONV_2D"
    assert [(one.bytes, one.input) for one in result.peak.tensors] == [(8 * 64 * 4, False), (4 * 64 * 4, False)]
    assert result.peak.bytes == 12 * 64 * 4 <= result.arena.nonpersistent_bytes
    assert str(result.peak).startswith("CONV_2D /network.1/Conv with /network.0/Conv 2,048, /network.1/Conv 1,024 ")


def test_input_at_the_peak_is_reported(tmp_path: Path) -> None:
    result = _float(nn.Sequential(nn.Conv2d(16, 2, 1), nn.Conv2d(2, 2, 1)), tmp_path, 1, 16, 8, 8)
    assert [(one.bytes, one.input) for one in result.peak.tensors] == [(16 * 64 * 4, True), (2 * 64 * 4, False)]
    assert "(the input) 4,096" in str(result.peak)


def test_tensor_stays_alive_until_its_last_reader(tmp_path: Path) -> None:
    class Shortcut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.first(x)
            return result + self.second(torch.relu(result))

    result = _float(Shortcut(), tmp_path, 1, 4, 8, 8)
    assert result.peak.bytes == 3 * 4 * 64 * 4


def test_scratch_buffer_counts_at_its_operator(tmp_path: Path) -> None:
    slots = 16 * 2  # two kernels that remember a buffer
    at_peak = _float(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=8)), tmp_path, 1, 3, 8, 8)
    assert at_peak.peak.operator == "DEPTHWISE_CONV_2D"
    assert at_peak.scratch_bytes == 4 * 72 + slots  # a window of 3 x 3 x 8
    assert at_peak.arena_bytes == at_peak.arena.restated_for_32_bit + at_peak.scratch_bytes
    later = _float(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 2, 3, stride=4)), tmp_path, 1, 3, 32, 32)
    assert later.peak.operator == "CONV_2D"
    assert later.scratch_bytes == slots  # 288 bytes fit beside the small output where the input was


def test_convolutions_of_one_pixel_need_no_scratch(tmp_path: Path) -> None:
    result = _float(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1)), tmp_path, 1, 3, 8, 8)
    assert result.scratch_bytes == 16 * 2


def test_the_arena_of_a_cortex_m4_is_at_most_three_percent_less(shared_data: Path) -> None:
    """On a Cortex-M4 (QEMU), TensorFlow Lite Micro 90b983c with CMSIS-NN 4ab83cc reports 54,996 bytes."""
    result = footprint(shared_data / "models" / "mlperf_tiny_ic_int8.tflite")
    assert 54_996 <= result.arena_bytes <= 1.03 * 54_996


@pytest.fixture
def model_files(tmp_path: Path, shared_data: Path) -> list[Path]:
    """Graphs whose activations leave gaps, chains, and MLPerf Tiny's models."""

    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Conv2d(3, 5 + 3 * index, 3, padding=1) for index in range(4))
            self.last = nn.Conv2d(38, 7, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.last(torch.cat([layer(x) for layer in self.layers], 1))
            return result + x[:, :1]

    sizes = ((3, 9), (9, 2), (2, 17), (17, 5))
    networks = [Branches(), nn.Sequential(*(nn.Conv2d(*pair, 3, stride=2, padding=1) for pair in sizes))]
    files = []
    for index, network in enumerate(networks):
        written = export(network.eval(), (torch.randn(1, 3, 9, 9),), tmp_path / f"{index}.onnx")
        files.append(convert(written.path, tmp_path / f"{index}.tflite").path)
    return [*files, *sorted((shared_data / "models").glob("*.tflite"))]


def test_the_memory_plan_is_that_of_tflite_micro(model_files: list[Path]) -> None:
    for path in model_files:
        assert planned_bytes(activations(read(path))) == Interpreter(path).arena().nonpersistent_bytes, path


def test_flash_is_the_file_the_interpreter_and_the_kernels(tmp_path: Path) -> None:
    result = _float(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 1)), tmp_path, 1, 3, 8, 8)
    assert result.operators == {"CONV_2D": 2}
    assert result.code == {**BASE_BYTES, "CONV_2D": TFLITE["CONV_2D"].kernel_bytes}
    assert result.golden_bytes == 4 * 4 * (3 * 8 * 8 + 8 * 6 * 6)  # four floats in and out
    assert result.flash_bytes == result.file_bytes + result.golden_bytes + sum(result.code.values())
    low, high = result.flash_band
    assert (
        high - result.flash_bytes == result.flash_bytes - low == pytest.approx(0.15 * sum(result.code.values()), abs=1)
    )


_CONVOLUTIONS = ("CONV_2D", "ADD", "AVERAGE_POOL_2D", "FULLY_CONNECTED")
_IMAGES = {
    "digits": (140_205, 39_888, 4 * (64 + 10), (*_CONVOLUTIONS, "PAD", "DEPTHWISE_CONV_2D", "CONCATENATION")),
    "resnet8": (147_749, 54_288, 4 * (3072 + 10), (*_CONVOLUTIONS, "PAD")),
    "ic": (196_233, 98_496, 4 * (3072 + 10), (*_CONVOLUTIONS, "RESHAPE", "SOFTMAX")),
}
"""Images for a Cortex-M4, see ``code.SOURCE``: .text and .rodata, model, golden vectors, and operators."""


@pytest.mark.parametrize("name", _IMAGES)
def test_flash_bounds_the_linked_images_within_ten_percent(name: str) -> None:
    image, file_bytes, golden, operators = _IMAGES[name]
    estimate = file_bytes + golden + sum(code_bytes(operators).values())
    assert image <= estimate <= 1.1 * image


def test_flash_of_the_image_of_mlperf_tiny(shared_data: Path) -> None:
    result = footprint(shared_data / "models" / "mlperf_tiny_ic_int8.tflite")
    image, file_bytes, golden, operators = _IMAGES["ic"]
    assert (result.file_bytes, result.golden_bytes, set(result.operators)) == (file_bytes, golden, set(operators))
    low, high = result.flash_band
    assert low <= image <= result.flash_bytes <= high


def test_golden_vectors_are_few_where_inputs_are_large() -> None:
    assert [golden_count(size) for size in (0, 64, 4096, 5000, 8193, 1 << 20)] == [4, 4, 4, 3, 1, 1]
    assert golden_count(64, 2) == 2


def test_every_operator_that_is_written_has_an_estimate() -> None:
    sizes = {name: TFLITE[name].kernel_bytes for name in TFLITE.names(lambda facts: facts.kernel_bytes)}
    assert {*TFLITE.names(lambda facts: facts.int8 or facts.casts), "RESHAPE"} <= set(sizes)
    assert code_bytes(["HASHTABLE"])["HASHTABLE"] == max(sizes.values())


@pytest.mark.parametrize(
    ("name", "peak", "operators"),
    [("ic", 3 * 16 * 32 * 32, {"CONV_2D": 9, "ADD": 3, "AVERAGE_POOL_2D": 1, "FULLY_CONNECTED": 1}), ("ad01", 768, {})],
)
def test_mlperf_tiny(shared_data: Path, name: str, peak: int, operators: dict[str, int]) -> None:
    path = shared_data / "models" / f"mlperf_tiny_{name}_int8.tflite"
    result = footprint(path)
    assert result.peak.bytes == peak == result.arena.nonpersistent_bytes
    assert operators.items() <= result.operators.items()
    assert sum(result.operators.values()) == len(read(path).subgraphs[0].operators)


@pytest.mark.parametrize("options", [None, schema.AddOptionsT(), schema.Conv2DOptionsT(dilationWFactor=1)])
def test_a_convolution_without_its_options_has_the_defaults(options: object) -> None:
    file = File()
    x, y = file.tensor("x", (1, 4, 4, 8)), file.tensor("y", (1, 4, 4, 8))
    weights = file.tensor("w", (8, 1, 1, 8), data=np.ones((8, 1, 1, 8), np.int8))
    file.op("CONV_2D", (x, weights, -1), (y,), options)
    assert cmsis_nn.scratch_buffers(file.model((x,), (y,))) == []  # 1 x 1 without dilation needs none
