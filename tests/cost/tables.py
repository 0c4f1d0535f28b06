"""Latency tables of an imagined runtime whose every figure follows from a formula."""

from __future__ import annotations

import math
from importlib.metadata import version

from edgeprune.cost.latency_table import Grid, LatencyTable, RemainderLatency, fingerprint
from edgeprune.cost.layer_shapes import CostLayer, LayerShape, layers
from edgeprune.graph import Units

FLOOR_MS, REST_MS = 0.25, 0.5


def formula(shape: LayerShape, into: float, out: float) -> float:
    """Outputs are padded to multiples of 8; inputs off multiples of 4 take twice as long."""
    work = math.prod(shape.kernel) * math.prod(shape.positions) * into * 8 * math.ceil(out / 8)
    return 1e-5 * work * (1 if into % 4 == 0 or not shape.shrinks[0] else 2)


def table_for(units: Units, *, threads: int = 1) -> LatencyTable:
    """The table of a network, with every channel count that there is."""
    results = list(layers(units))
    grids = {layer.shape: _grid(layer) for layer in results}
    dense = sum(formula(layer.shape, *layer.shape.channels) for layer in results)
    return LatencyTable(
        target="host",
        device={"uri": "local:", "cpu": "imagined", "cores": threads},
        runtime="onnxruntime",
        runtime_version=version("onnxruntime"),
        threads=threads,
        date="2025-01-31",
        floor_ms=FLOOR_MS,
        alignment={"conv": (4, 8), "linear": (4, 8), "depthwise": (1, 8)},
        grids=tuple(grids.values()),
        rests=(RemainderLatency("imagined", fingerprint(results), FLOOR_MS + dense + REST_MS, REST_MS),),
    )


def _grid(layer: CostLayer) -> Grid:
    shape = layer.shape
    into, out = (
        tuple(range(1, size + 1)) if shrinks else (size,)
        for size, shrinks in zip(shape.channels, shape.shrinks, strict=True)
    )
    return Grid(shape, into, out, tuple(tuple(formula(shape, i, o) for o in out) for i in into))
