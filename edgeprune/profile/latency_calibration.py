"""Measurement of a latency table: latency of the layers of a network over a grid of channel counts.

The latency of a layer is the difference of two probes, divided by the number of layers they differ by. Each probe is
measured once in each of several passes. The fastest pass counts, because other programs only add time.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgeprune.config import Target
from edgeprune.cost.latency_probes import empty, probe
from edgeprune.cost.latency_table import (
    Grid,
    LatencyTable,
    RemainderLatency,
    fingerprint,
)
from edgeprune.cost.layer_shapes import CostLayer, LayerShape
from edgeprune.devices import Device, Workspace
from edgeprune.profile.calibration_checks import check_device, check_machine, check_runtime, check_version
from edgeprune.profile.runner_client import Runner
from edgeprune.progress import SILENT, Progress

STEPS = (4, 8, 16, 32)
"""Alignments to detect."""
_COPIES = 1, 4
_RUNS = 5
_VISITS = 4
"""Measurements of whole networks per pass, as other programs may use the caches for half a minute."""
_TIMEOUT_S = 300.0
_NOISE = 0.04
"""Fraction of a latency below which a difference is not significant."""
_NOISE_MS = 1e-4
"""Difference in milliseconds below which it is not significant: a few ticks of the clock."""
_SMALL = (1, 4, 8, 12, 15, 16)


@dataclass(frozen=True)
class CalibrationEffort:
    """Effort of a calibration.

    Attributes:
        passes: Number of measurements of each probe.
        block_s: Minimum duration of one measurement in seconds.
        anchors: Fractions of the dense channels around which the grid is fine.
    """

    passes: int = 3
    block_s: float = 0.005
    anchors: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)


QUICK = CalibrationEffort(passes=2, block_s=0.003, anchors=(0.5, 1.0))


def counts(dense: int, *, shrinks: bool, anchors: Sequence[float]) -> tuple[int, ...]:
    """Return the measured channel counts: a few small ones, and both neighbors of some multiples of 16."""
    if not shrinks:
        return (dense,)
    near = [16 * round(fraction * dense / 16) for fraction in anchors]
    candidates = {*_SMALL, dense, *(anchor + step for anchor in near for step in (-1, 0, 1, 4))}
    return tuple(sorted(count for count in candidates if 1 <= count <= dense))


def calibrate(
    layers: Sequence[CostLayer],
    networks: Mapping[str, Path],
    name: str,
    target: Target,
    device: Device,
    *,
    effort: CalibrationEffort | None = None,
    progress: Progress = SILENT,
) -> tuple[LatencyTable, dict[str, float]]:
    """Measure every distinct layer, and whole networks.

    Args:
        layers: Layers of the dense network.
        networks: ``.onnx`` files by name, the dense network first.
        name: Name of the dense network, for messages.
        target: Target whose session settings are used.
        device: Device to measure on.
        effort: Effort of the calibration. Defaults to ``CalibrationEffort()``.
        progress: Progress, which advances by a probe.

    Returns:
        The table, and the latency of each of ``networks`` in milliseconds.

    Raises:
        InputError: The device cannot be calibrated.
        TargetError: The device has another architecture, runtime or version of the runtime than the target.
        DeviceError: The device cannot be reached, or the runner fails or sends an invalid answer.
    """
    check_device(device)
    scripts = check_runtime(target)
    effort = effort or CalibrationEffort()
    shapes = list(dict.fromkeys(layer.shape for layer in layers))
    grids = {shape: _grid_counts(shape, effort.anchors) for shape in shapes}
    lines = {(kind, axis): _line(kind, axis, shapes) for kind in {s.kind for s in shapes} for axis in (0, 1)}
    points = {(shape, into, out) for shape, axes in grids.items() for into in axes[0] for out in axes[1]}
    points |= {point for line in lines.values() for point in line}
    with tempfile.TemporaryDirectory() as folder, device.open() as workspace:
        runner = Runner(workspace, workspace.push(*scripts.files), "latency probes", _TIMEOUT_S)
        check_machine(target, device, str(runner.machine["machine"]))
        check_version(target, device, str(runner.machine["runtime_version"]))
        cores = int(runner.machine["cores"])
        bench = _Bench(runner, workspace, Path(folder), min(target.runtime.threads or cores, cores), effort)
        layer_ms, floor_ms, network_ms = bench.measure(points, networks, progress)
    alignment = {
        kind: (
            alignment_step([(point[1], layer_ms[point]) for point in lines[kind, 0]]),
            alignment_step([(point[2], layer_ms[point]) for point in lines[kind, 1]]),
        )
        for kind, axis in lines
        if axis == 0
    }
    measured_grids = [
        Grid(shape, *axes, tuple(tuple(layer_ms[shape, into, out] for out in axes[1]) for into in axes[0]))
        for shape, axes in grids.items()
    ]
    dense_ms = next(iter(network_ms.values()))
    by_shape = {grid.shape: grid.ms[-1][-1] for grid in measured_grids}
    remainder_ms = dense_ms - floor_ms - sum(by_shape[layer.shape] for layer in layers)
    table = LatencyTable(
        target=target.name,
        device={"uri": device.uri, **runner.machine},
        runtime=str(runner.machine["runtime"]),
        runtime_version=str(runner.machine["runtime_version"]),
        threads=bench.threads,
        date=dt.datetime.now(dt.timezone.utc).date().isoformat(),
        floor_ms=floor_ms,
        alignment=alignment,
        grids=tuple(measured_grids),
        rests=(RemainderLatency(name, fingerprint(layers), dense_ms, remainder_ms),),
    )
    return table, network_ms


Point = tuple[LayerShape, int, int]


@dataclass
class _Bench:
    """Measurement of many models with one runner; ``fastest`` is the lowest latency of each in milliseconds."""

    runner: Runner
    workspace: Workspace
    folder: Path
    threads: int
    effort: CalibrationEffort
    fastest: dict[Any, float] = field(default_factory=dict)

    def measure(
        self, points: Iterable[Point], networks: Mapping[str, Path], progress: Progress
    ) -> tuple[dict[Point, float], float, dict[str, float]]:
        """Return the latency in milliseconds of each point, of an empty model, and of each network."""
        ordered = sorted(points, key=repr)
        file = self.folder / "probe.onnx"
        every = -(-len(ordered) // _VISITS)
        visits = len(range(0, len(ordered), every))
        progress.start(self.effort.passes * (len(ordered) * len(_COPIES) + visits * (1 + len(networks))))
        for _ in range(self.effort.passes):
            for index, point in enumerate(ordered):
                if index % every == 0:
                    file.write_bytes(empty())
                    self._time("floor", file, progress)
                    for name, path in networks.items():
                        self._time((name,), path, progress, longer=10)
                for copies in _COPIES:
                    file.write_bytes(probe(*point, copies))
                    self._time((point, copies), file, progress)
        few, many = ({point: self.fastest[point, copies] for point in ordered} for copies in _COPIES)
        layer_ms = {point: max(0.0, many[point] - few[point]) / (_COPIES[1] - _COPIES[0]) for point in ordered}
        return layer_ms, self.fastest["floor"], {name: self.fastest[name,] for name in networks}

    def _time(self, key: object, path: Path, progress: Progress, *, longer: int = 1) -> None:
        self.runner.load(self.workspace.push(path), threads=self.threads, spinning=True, seed=0)
        ms = self.runner.measure(2 * longer, _RUNS * longer, self.effort.block_s * longer)
        self.fastest[key] = min(ms, self.fastest.get(key, ms))
        progress.advance()


def alignment_step(line: Sequence[tuple[int, float]]) -> int:
    """Return the smallest of ``STEPS`` at whose multiples latency is lower than at their neighbors; 1 if there is none.

    A multiple counts as lower if one channel fewer has a higher latency, or if one channel more adds at least three
    times the average latency per channel. Multiples of twice the step are ignored if there are others, because they
    belong to larger steps too.

    Args:
        line: Channel counts one after the other, with latencies in milliseconds.
    """
    latency = dict(line)
    if len(latency) < 2:
        return 1
    slope = (latency[max(latency)] - latency[min(latency)]) / (max(latency) - min(latency))
    for step in STEPS:
        multiples = [count for count in latency if count % step == 0 and {count - 1, count + 1} <= latency.keys()]
        odd_multiples = [count for count in multiples if count % (2 * step)] or multiples
        drops = [_is_lower(latency, count, slope) for count in odd_multiples]
        if drops and np.mean(drops) > 0.5:
            return step
    return 1


def _is_lower(latency: Mapping[int, float], count: int, slope: float) -> bool:
    current = latency[count]
    margin = max(_NOISE * current, _NOISE_MS)
    return latency[count - 1] - current > margin or latency[count + 1] - current > max(margin, 3 * slope)


def _grid_counts(shape: LayerShape, anchors: Sequence[float]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    into, out = (
        counts(dense, shrinks=shrinks, anchors=anchors)
        for dense, shrinks in zip(shape.channels, shape.shrinks, strict=True)
    )
    if shape.kind == "depthwise":
        width = shape.channels[1] // shape.groups
        return shape.channels[:1], tuple(count for count in out if count % width == 0)
    if shape.groups > 1:
        return tuple(c for c in into if c % shape.groups == 0), tuple(c for c in out if c % shape.groups == 0)
    return into, out


def _line(kind: str, axis: int, shapes: Sequence[LayerShape]) -> list[Point]:
    """Return consecutive counts along ``axis`` of the widest layer of ``kind``; the other axis is dense."""
    usable = [shape for shape in shapes if shape.kind == kind and shape.shrinks[axis]]
    usable = [shape for shape in usable if shape.groups == (shape.channels[1] if kind == "depthwise" else 1)]
    if not usable:
        return []
    widest = max(usable, key=lambda shape: shape.channels[axis])
    dense = widest.channels[axis]
    first = max(1, min(dense // 32 * 32, dense - 1) - 32)
    line = range(first, min(dense, first + 33) + 1)
    return [(widest, n, widest.channels[1]) if axis == 0 else (widest, widest.channels[0], n) for n in line]
