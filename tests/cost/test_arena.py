"""The arena as selection sees it, against TFLite Micro's own allocator; and costs in other units."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

from edgeprune.backends.footprint import Footprint
from edgeprune.backends.tflm.tflm_footprint import footprint
from edgeprune.config import Recipe
from edgeprune.cost import ScaledCost, cost_model
from edgeprune.cost.memory_cost import Int8Arena
from edgeprune.export.onnx_export import export
from edgeprune.graph import Units, capture, units_of
from edgeprune.graph.rewrite import rewrite
from edgeprune.model import network
from edgeprune.model.data import TensorSplit
from edgeprune.tflite import conversion
from edgeprune.tflite.tflite_quantizing import quantize


@cache
def _network(name: str) -> tuple[nn.Module, Units, tuple[int, ...]]:
    recipe = Recipe.load(name)
    model = network.load_model(recipe.model.factory, recipe.weights_path, base=recipe.folder)
    return model, units_of(capture(model, network.example_inputs(recipe.model.input))), recipe.model.input


def _some(units: Units, share: float, seed: int) -> torch.Tensor:
    samples = torch.rand(len(units), generator=torch.Generator().manual_seed(seed))
    mask = (samples < share) & units.prunable
    for floor in units.floors:
        mask[floor[samples[floor].argmax()]] = False
    return mask


def _footprint(name: str, removed: torch.Tensor, folder: Path) -> tuple[Footprint, nn.Module]:
    model, units, shape = _network(name)
    small = rewrite(model, units, removed).model.eval()
    lowered = conversion.convert(export(small, (torch.randn(shape),), folder / "m.onnx").path, folder / "m.tflite")
    split = TensorSplit(torch.randn(4, *shape[1:]), torch.zeros(4, dtype=torch.long))
    return footprint(quantize(lowered, folder / "int8.tflite", split).path), small


@pytest.mark.long
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("name", ["digits", "cifar10-resnet8"])
def test_models_follow_the_file(name: str, share: float, tmp_path: Path) -> None:
    model, units, _ = _network(name)
    removed = _some(units, share, 0) if share else torch.zeros(len(units), dtype=torch.bool)
    result, small = _footprint(name, removed, tmp_path)
    arena, flash = (cost_model(cost, units, model, precision="int8") for cost in ("arena_bytes", "flash_bytes"))
    for cost in (arena, flash):
        cost.remove(removed)
    layers = [layer for layer in small.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    remaining = sum(8 * len(layer.weight) for layer in layers)  # a multiplier and a shift of each channel
    assert arena.total() == result.peak.bytes + remaining
    assert result.arena.nonpersistent_bytes >= result.peak.bytes
    # Beside weights a file has a scale and a zero point of each channel, and its graph.
    graph = result.file_bytes - flash.total()
    assert 0 < graph < 25_000


def test_scaled_cost_is_a_multiple() -> None:
    model, units, _ = _network("digits")
    macs = cost_model("macs", units, model)
    scaled = ScaledCost(macs, factor=0.5, offset=100.0)
    assert scaled.total() == 0.5 * macs.total() + 100
    torch.testing.assert_close(scaled.savings(), 0.5 * macs.savings())
    removed = _some(units, 0.4, 0)
    twin = scaled.copy()
    twin.remove(removed)
    assert macs.total() > 0
    assert scaled.total() == 0.5 * macs.total() + 100  # neither the copy nor what it was made of is touched
    macs.remove(removed)
    assert twin.total() == 0.5 * macs.total() + 100
    torch.testing.assert_close(twin.gains(), 0.5 * macs.gains())


def test_the_limit_of_a_scaled_peak_is_the_one_of_the_peak() -> None:
    model, units, _ = _network("digits")
    peak = cost_model("arena_bytes", units, model)
    scaled = ScaledCost(peak, offset=1000.0)
    limit = 0.6 * peak.total()
    torch.testing.assert_close(scaled.savings(limit + 1000), peak.savings(limit))
    assert not torch.equal(peak.savings(limit), peak.savings())


def test_a_batchnorm_counts_alike_by_any_of_its_operators() -> None:
    class Normed(nn.Module):
        def __init__(self, operator: str) -> None:
            super().__init__()
            self.layer, self.norm, self.operator = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), operator

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x, norm = self.layer(x), self.norm
            if self.operator == "batch_norm":
                return norm(x)
            statistics = norm.running_mean, norm.running_var
            return torch.native_batch_norm(x, norm.weight, norm.bias, *statistics, False, 0.1, 1e-5)[0]

    usual, native = (
        units_of(capture(Normed(operator).eval(), (torch.randn(1, 3, 8, 8),)))
        for operator in ("batch_norm", "native_batch_norm")
    )
    assert Int8Arena(native).total() == Int8Arena(usual).total()
