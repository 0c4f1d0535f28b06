"""Predicted latency: interpolation, what removing saves, and tables that do not fit."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

from edgeprune.config import Target
from edgeprune.cost import LatencyTable, cost_model, load_table
from edgeprune.cost.latency_cost import LatencyCost, LatencyLookup
from edgeprune.cost.latency_table import Grid
from edgeprune.cost.layer_shapes import LayerShape, layers
from edgeprune.errors import InputError, TargetError
from edgeprune.graph import Units, capture, units_of
from tests.cost.tables import FLOOR_MS, REST_MS, formula, table_for


def _network() -> tuple[nn.Module, Units]:
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1, groups=16),
        nn.Conv2d(16, 32, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    ).eval()
    return network, units_of(capture(network, (torch.randn(1, 3, 8, 8),)))


def _mask(units: Units, *removed: int) -> torch.Tensor:
    mask = torch.zeros(len(units), dtype=torch.bool)
    mask[list(removed)] = True
    return mask


def test_layers_of_other_shapes_have_other_keys() -> None:
    _, units = _network()
    first, depthwise, pointwise, linear = (layer.shape for layer in layers(units))
    assert (first.kind, first.channels, first.shrinks, first.kernel) == ("conv", (3, 16), (False, True), (3, 3))
    assert (depthwise.kind, depthwise.channels, depthwise.groups) == ("depthwise", (16, 16), 16)
    assert (pointwise.kind, pointwise.shrinks, pointwise.positions) == ("conv", (True, True), (8, 8))
    assert (linear.kind, linear.channels, linear.shrinks, linear.batch) == ("linear", (32, 10), (True, False), 1)


def test_total_latency_is_the_sum_of_overhead_layers_and_activations() -> None:
    network, units = _network()
    model = cost_model("latency_ms", units, network, table=table_for(units))
    assert isinstance(model, LatencyCost)
    shapes = [layer.shape for layer in layers(units)]
    assert model.total() == pytest.approx(FLOOR_MS + REST_MS + sum(formula(s, *s.channels) for s in shapes))
    first, second = units.groups[0].start, units.groups[1].start
    model.remove(_mask(units, *range(first, first + 3), *range(second, second + 12)))
    sizes = [(3, 13), (16, 13), (13, 20), (20, 10)]  # of the depthwise layer only what it makes changes
    expected = [formula(shape, *size) for shape, size in zip(shapes, sizes, strict=True)]
    assert model.layers_ms().tolist() == pytest.approx(expected)
    assert 0 < model.remainder_ms() < REST_MS
    assert model.total() == pytest.approx(FLOOR_MS + sum(expected) + model.remainder_ms())


def test_gains_are_exact_and_removing_is_undone() -> None:
    network, units = _network()
    model = cost_model("latency_ms", units, network, table=table_for(units))
    dense = model.total()
    removed = _mask(units, *range(7), *range(20, 29))
    model.remove(removed)
    before, gains = model.total(), model.gains()
    for unit in removed.nonzero().flatten().tolist():
        twin = model.copy()
        twin.restore(_mask(units, unit))
        assert twin.total() - before == pytest.approx(float(gains[unit]))
    model.restore(removed)
    assert model.total() == pytest.approx(dense)


def test_totals_of_many_states_are_those_of_each() -> None:
    network, units = _network()
    model = cost_model("latency_ms", units, network, table=table_for(units))
    masks = torch.stack([_mask(units), _mask(units, *range(7)), _mask(units, *range(3), *range(20, 29))])
    each = []
    for mask in masks:
        twin = model.copy()
        twin.remove(mask)
        each.append(twin.total())
    assert model.totals(model.terms.remaining - model.reduction(masks)).tolist() == pytest.approx(each)


def test_savings_spread_a_step_over_its_channels() -> None:
    """One channel less of 16 makes the next layer slow, but the way to 12 and to 8 is down: so are the savings."""
    network, units = _network()
    model = cost_model("latency_ms", units, network, table=table_for(units))
    group = units.groups[0]
    one = model.copy()
    one.remove(_mask(units, group.start))
    assert one.total() > model.total()
    savings = model.savings()
    assert bool((savings[units.prunable] > 0).all())
    # At 9 channels of 16 the padding to 16 goes with one more: all of a step for a single channel.
    nine = model.copy()
    nine.remove(_mask(units, *range(group.start, group.start + 7)))
    unit = group.stop - 1
    eight = nine.copy()
    eight.remove(_mask(units, unit))
    assert float(nine.savings()[unit]) == pytest.approx(nine.total() - eight.total(), rel=0.01)
    assert float(nine.savings()[unit]) > 2 * float(savings[unit])


def test_aligned_counts_are_interpolated_between_aligned_ones() -> None:
    shape = LayerShape("conv", 1, (8, 8), (1, 1), (1, 1), (0, 0), (1, 1), 1, (32, 16), (True, False))
    grid = Grid(shape, (1, 8, 15, 16, 17, 32), (16,), tuple((ms,) for ms in (1.0, 2.0, 9.0, 4.0, 11.0, 8.0)))
    _, units = _network()
    table = dataclasses.replace(table_for(units), alignment={"conv": (8, 1)})
    lookup = LatencyLookup([grid], table)
    sizes = torch.tensor(
        [[8, 16], [16, 16], [24, 16], [32, 16], [16, 99], [8, 1], [1, 16], [15, 16], [16, 16]]
    ).double()
    layer = torch.zeros(len(sizes), dtype=torch.long)
    assert lookup.at(layer, sizes).tolist() == [2, 4, 6, 8, 4, 2, 1, 9, 4]
    between = torch.tensor([[10.0, 16.0], [16.5, 16.0], [30.0, 16.0]])
    assert lookup.at(layer[:3], between.double()).tolist() == pytest.approx([1 + 8 * 9 / 14, 10.5, 11])


def test_table_survives_a_round_trip(tmp_path: Path) -> None:
    _, units = _network()
    table = table_for(units)
    path = tmp_path / "host.json"
    path.write_text(table.to_json())
    assert load_table(Target(name="host"), path) == table


def test_tables_of_the_same_bench_are_joined() -> None:
    _, units = _network()
    table = table_for(units)
    other = dataclasses.replace(table, grids=table.grids[:1], rests=(), alignment={"conv": (8, 8)})
    joined = other.joined(table)
    assert set(joined.grids) == set(table.grids)
    assert joined.rests == table.rests
    assert joined.alignment == {**table.alignment, "conv": (8, 8)}
    assert other.joined(dataclasses.replace(table, threads=4)) == other


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"runtime_version": "0.1"}, r"onnxruntime 0\.1 .*=="),
        ({"runtime": "tflite"}, r"runtime tflite\b.*onnxruntime"),
        ({"threads": 3, "device": {"cores": 4}}, r"threads 3\b.* 4\b"),
        ({"target": "jetson"}, r"target jetson\b.* host\b"),
        ({"schema": 2}, r"schema 1\b.* 2\b"),
    ],
)
def test_tables_of_another_bench_are_refused(change: dict[str, object], message: str, tmp_path: Path) -> None:
    _, units = _network()
    path = tmp_path / "host.json"
    path.write_text(dataclasses.replace(table_for(units), **change).to_json())
    with pytest.raises(TargetError, match=message):
        load_table(Target(name="host"), path, installed="1.20.1")


def _board(runtime: str, versions: str) -> Target:
    values: dict[str, object] = {
        "name": "host",
        "hardware": {"architecture": "aarch64"},
        "runtime": {"name": runtime, "versions": versions},
    }
    return Target.parse(values, where="test")


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert", "tensorrt"])
def test_a_table_is_checked_against_the_versions_of_the_target(runtime: str, tmp_path: Path) -> None:
    _, units = _network()
    table = dataclasses.replace(table_for(units), runtime=runtime, runtime_version="1.20.1")
    path = tmp_path / "host.json"
    path.write_text(table.to_json())
    for allowed in (">=1.17,<2", ""):
        assert load_table(_board(runtime, allowed), path) == table
    for version in ("1.20.1", "from source"):
        path.write_text(dataclasses.replace(table, runtime_version=version).to_json())
        with pytest.raises(TargetError, match=rf"{runtime} {version}\b.*>=1\.21"):
            load_table(_board(runtime, ">=1.21,<2"), path)


@pytest.mark.parametrize("runtime", ["litert", "tensorrt"])
def test_a_table_of_another_runtime_is_refused(runtime: str, tmp_path: Path) -> None:
    _, units = _network()
    path = tmp_path / "host.json"
    path.write_text(table_for(units).to_json())
    for target in (_board(runtime, ""), Target.parse({"name": "host", "runtime": {"name": runtime}}, where="test")):
        with pytest.raises(TargetError, match=rf"runtime onnxruntime\b.* {runtime}\b"):
            load_table(target, path)


def test_a_table_that_is_missing_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"target moon: .*'edgeprune calibrate --target moon'"):
        load_table(Target(name="moon"))
    path = tmp_path / "host.json"
    path.write_text('{"schema": 1}')
    with pytest.raises(TargetError, match=r"host\.json .*target: "):
        load_table(Target(name="host"), path)


def test_table_of_another_network_is_refused() -> None:
    network, units = _network()
    table = table_for(units)
    with pytest.raises(TargetError, match=r"\(imagined\)"):
        cost_model(
            "latency_ms",
            units,
            network,
            table=dataclasses.replace(table, rests=(dataclasses.replace(table.rests[0], fingerprint="another"),)),
        )
    with pytest.raises(TargetError, match=r" 0 \(conv, 3 -> 16 channels, positions \(8, 8\)\)"):
        cost_model("latency_ms", units, network, table=dataclasses.replace(table, grids=table.grids[1:]))
    with pytest.raises(InputError, match=r"^latency_ms "):
        cost_model("latency_ms", units, network)


def test_tables_are_read_as_written() -> None:
    with pytest.raises(TargetError, match=r"^here "):
        LatencyTable.from_json("[]", where="here")


@cache
def _text() -> str:
    return table_for(_network()[1]).to_json()


_NO_NUMBERS = ["NaN", "1e999", "-1e999", f"1{'0' * 400}", '"NaN"', '"1.5"', '"x"', "[]", "{}", "null", "true", "1e300"]
_WRONG_VALUES = {
    **{key: [*_NO_NUMBERS, "-1"] for key in ("floor_ms", "rests.0.measured_ms", "grids.0.ms.0.0")},
    "rests.0.rest_ms": [*_NO_NUMBERS, "-1e300"],
    **{key: [*_NO_NUMBERS, "0", "-1", "1.5"] for key in ("threads", "alignment.conv.0", "grids.0.into.0", "schema")},
    **{key: [*_NO_NUMBERS, "1.5"] for key in ("grids.0.shape.batch", "grids.0.shape.channels.1")},
    **{
        key: ["1", "null", "[]", "{}"]
        for key in ("target", "runtime", "runtime_version", "date", "rests.0.fingerprint")
    },
    **{key: ["1", "null", '"x"', "{}"] for key in ("grids", "rests", "grids.0.shape.positions")},
    **{
        key: ["1", "null", '"x"', "[]", "[[]]", "{}"]
        for key in ("grids.0.into", "grids.0.ms", "grids.0.ms.0", "grids.0")
    },
    "alignment": ["1", "null", "[]", '{"conv": []}', '{"conv": [8]}', '{"conv": [8, 8, 8]}'],
    "device": ["1", "null", "[]", '"x"'],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in _WRONG_VALUES.items() for value in values])
def test_impossible_measured_value_is_refused(key: str, value: str, tmp_path: Path) -> None:
    table = json.loads(_text())
    *parents, last = [int(part) if part.isdigit() else part for part in key.split(".")]
    parent = table
    for part in parents:
        parent = parent[part]
    parent[last] = "the value"
    path = tmp_path / "host.json"
    path.write_text(json.dumps(table).replace('"the value"', value))
    with pytest.raises(TargetError) as problem:
        load_table(Target(name="host"), path)
    assert str(path) in str(problem.value)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize("key", ["grids.0.ms.0.0", "floor_ms"])
def test_error_names_key_and_value(key: str) -> None:
    table = json.loads(_text())
    table["floor_ms"] = table["grids"][0]["ms"][0][0] = 0.0
    assert LatencyTable.from_json(json.dumps(table), where="here").floor_ms == 0.0
    if key == "floor_ms":
        table["floor_ms"] = -2.5
    else:
        table["grids"][0]["ms"][0][0] = -2.5
    with pytest.raises(TargetError) as problem:
        LatencyTable.from_json(json.dumps(table), where="here")
    assert key in str(problem.value)
    assert "-2.5" in str(problem.value)
