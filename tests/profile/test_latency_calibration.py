"""Calibration against a device that answers by a formula: every figure of the table can be told beforehand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from edgeprune.config import Target
from edgeprune.cost.latency_probes import empty, probe
from edgeprune.cost.layer_shapes import CostLayer, layers
from edgeprune.devices import Capability
from edgeprune.errors import TargetError
from edgeprune.graph import capture, units_of
from edgeprune.profile.latency_calibration import CalibrationEffort, alignment_step, calibrate, counts


def _layers() -> list[CostLayer]:
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1, groups=16),
        nn.Conv2d(16, 40, 1),
        nn.Conv2d(40, 40, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(40, 10),
    ).eval()
    return list(layers(units_of(capture(network, (torch.randn(1, 3, 8, 8),)))))


def _latency(into: int, out: int) -> float:
    """Inputs off multiples of 4 take twice as long, outputs are padded to multiples of 8."""
    return 0.001 * into * 8 * -(-out // 8) * (1 if into % 4 == 0 or into == 3 else 2)


class _Imagined:
    """A device, its workspace and its runner in one."""

    uri = "imagined:"
    kind = "measured"
    capabilities = frozenset({Capability.PUSH, Capability.RUN})

    def __init__(self) -> None:
        self.answers = [
            {
                "event": "ready",
                "protocol": 1,
                "cores": 2,
                "machine": "imagined",
                "runtime": "onnxruntime",
                "runtime_version": version("onnxruntime"),
            }
        ]
        self.loaded: list[tuple[bytes, int]] = []

    @contextmanager
    def open(self) -> Iterator[_Imagined]:
        yield self

    def push(self, file: Path) -> str:
        return str(file)

    def converse(self, arguments: Sequence[str]) -> _Imagined:
        return self

    def send(self, line: str) -> None:
        command = json.loads(line)
        if command["do"] == "load":
            self.loaded.append((Path(command["model"]).read_bytes(), command["threads"]))
            self.answers.append({"event": "loaded", "load_ms": 1.0, "first_ms": 1.0, "threads": command["threads"]})
        else:
            slow = 1.5 if len(self.loaded) % 7 == 0 else 1.0  # another program wants the processor now and then
            self.answers.append(
                {"event": "block", "latency_ms": [slow * self._time(self.loaded[-1][0])] * command["runs"]}
            )

    def receive(self, *, timeout_s: float) -> str:
        return json.dumps(self.answers.pop(0))

    def last_words(self) -> str:
        return ""

    @staticmethod
    def _time(model: bytes) -> float:
        if model == b"whole":
            return 30.0
        graph = onnx.load_from_string(model).graph
        weights = {item.name: tuple(item.dims) for item in graph.initializer}
        total = 0.01  # of any call
        for node in graph.node:
            if node.op_type in ("Conv", "Gemm"):
                out, into, *kernel = weights[node.input[1]]
                total += _latency(3 if into == 1 and kernel == [3, 3] else into, out) + 0.002
        return total


@pytest.mark.long
def test_table_has_the_latencies_of_the_device(tmp_path: Path) -> None:
    whole = tmp_path / "whole.onnx"
    whole.write_bytes(b"whole")
    result, device = _layers(), _Imagined()
    table, measured = calibrate(
        result, {"dense": whole}, "mine", Target(name="host"), device, effort=CalibrationEffort(block_s=0)
    )
    assert measured == {"dense": 30.0}
    assert table.floor_ms == pytest.approx(0.01)
    assert table.alignment == {"conv": (4, 8), "depthwise": (1, 8), "linear": (4, 1)}
    for grid in table.grids:
        for into, row in zip(grid.into, grid.ms, strict=True):
            for out, ms in zip(grid.out, row, strict=True):
                size = 3 if grid.shape.kind == "depthwise" else into
                assert ms == pytest.approx(_latency(size, out) + 0.002)
    dense = sum(table.grid(layer).ms[-1][-1] for layer in result)
    assert table.remainder(result).rest_ms == pytest.approx(30 - 0.01 - dense)
    assert {threads for _, threads in device.loaded} == {table.threads} == {2}


def test_devices_with_another_version_of_the_runtime_are_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole.onnx"
    whole.write_bytes(b"whole")
    target = Target.parse({"name": "old", "runtime": {"versions": ">=0.1,<0.2"}}, where="test")
    with pytest.raises(TargetError, match=rf"old.*<0\.2.* imagined: .*{version('onnxruntime')}"):
        calibrate(_layers(), {"dense": whole}, "mine", target, _Imagined(), effort=CalibrationEffort(block_s=0))


def test_targets_with_another_runtime_are_not_calibrated(tmp_path: Path) -> None:
    device = _Imagined()
    with pytest.raises(TargetError, match=r"jetson-orin-nano.* tensorrt"):
        calibrate(_layers(), {}, "mine", Target.load("jetson-orin-nano"), device)
    assert device.answers


def test_probes_of_every_kind_run_and_differ_by_copies_of_the_layer() -> None:
    for layer in _layers():
        shape = layer.shape
        into, out = (
            size if not shrinks else size // 2 for size, shrinks in zip(shape.channels, shape.shrinks, strict=True)
        )
        one, four = (onnx.load_from_string(probe(shape, into, out, copies)) for copies in (1, 4))
        op = "Gemm" if shape.kind == "linear" else "Conv"
        used = [sum(node.op_type == op for node in model.graph.node) for model in (one, four)]
        assert used[1] - used[0] == 3
        for model in (one, four):
            session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
            durations = session.get_inputs()[0]
            (result,) = session.run(None, {durations.name: np.ones(durations.shape, np.float32)})
            assert np.isfinite(result).all()
            assert result.shape == tuple(session.get_outputs()[0].shape)


def test_model_without_layers_is_measured() -> None:
    session = onnxruntime.InferenceSession(empty(), providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": np.ones(1, np.float32)})[0].tolist() == [1]


@pytest.mark.parametrize("step", [1, 4, 8, 16, 32])
def test_alignment_by_padding_and_by_a_fallback(step: int) -> None:
    line = range(32, 97)
    assert alignment_step([(n, 0.01 * step * -(-n // step)) for n in line]) == step
    assert alignment_step([(n, 0.01 * n * (1 if n % step == 0 else 1.8)) for n in line]) == step


def test_no_alignment_in_noise() -> None:
    random = np.random.default_rng(0)
    assert alignment_step([(n, 0.01 * n * random.uniform(0.99, 1.01)) for n in range(32, 65)]) == 1
    assert alignment_step([(8, 1.0)]) == 1


def test_probed_counts_include_both_ends_and_neighbors_of_multiples_of_16() -> None:
    assert counts(10, shrinks=True, anchors=(1.0,)) == (1, 4, 8, 10)
    assert counts(10, shrinks=False, anchors=(1.0,)) == (10,)
    assert counts(256, shrinks=True, anchors=(0.5, 1.0)) == (1, 4, 8, 12, 15, 16, 127, 128, 129, 132, 255, 256)
