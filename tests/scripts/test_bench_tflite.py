"""The bench beside litert-torch: what its table says is kept and missed; the other tool is not needed for that."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scripts import bench_tflite

_RECIPE = Path(__file__).parents[2] / "recipes" / "cifar10-resnet8"


def test_a_bar_that_is_missed_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    figures = {
        "float32": {
            "operators": {"litert-torch": 20, "EdgePrune": 20},
            "file bytes": {"litert-torch": 1000, "EdgePrune": 1021},
            "latency ms": {"litert-torch": 2.0, "EdgePrune": 2.09},
            "conversion s": {"litert-torch": 10.0, "EdgePrune": 2.5},
        },
        "int8": {"arena bytes": {"litert-torch": None, "EdgePrune": 4000}},
    }
    assert bench_tflite._print_network("net", figures) == 2
    rows = {row.split("|")[1].strip(): row for row in capsys.readouterr().out.splitlines() if "," in row}
    assert rows["float32, operators"].endswith("| 20 | 20 | 1.000 | 1 | kept |")
    assert rows["float32, file bytes"].endswith("| 1,000 | 1,021 | 1.021 | 1.02 | MISSED |")
    assert rows["float32, latency ms"].endswith("| 2 | 2.09 | 1.045 | 1.05 | kept |")
    assert rows["float32, conversion s"].endswith("| 10 | 2.5 | 0.250 | 0.2 | MISSED |")
    assert rows["int8, arena bytes"].endswith("| None | 4,000 | - | 1 | kept |")  # the other tool's does not run


def test_networks_are_converted_in_a_process_of_their_own(tmp_path: Path) -> None:
    weights = str(_RECIPE / "resnet8.safetensors")
    network = bench_tflite.Network(str(_RECIPE / "model.py"), "build", weights, (1, 3, 32, 32))
    path = tmp_path / "m.tflite"
    first, again = bench_tflite._converted("EdgePrune", sys.executable, network, path)
    assert first > 0
    assert again > 0
    assert bench_tflite._operators(path) == 16
    assert bench_tflite._arena(path) == 207_568
