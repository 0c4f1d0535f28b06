"""What a cost model says, against counting again: what is left, and the network that is rewritten."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from edgeprune.cost import CostModel, ScaledCost, cost_model, cost_of, peak_activation_bytes
from edgeprune.errors import InputError
from edgeprune.export.onnx_export import export
from edgeprune.graph import Units, capture, shrink, units_of
from tests.example_count import example_count
from tests.networks.collection import NAMES, cases, shared

_SUMS = ("macs", "params", "flash_bytes")
# Recurrent kernels, a matrix times a vector, and attention on a CPU.
_NOT_COUNTED_BY_TORCH = ("lstm", "gru", "conv-lstm", "parametrised", "tokens-and-positions", "grouped-queries")
_SOME = ("concat-into-grouped", "zero-padded-residual", "fused-projection", "lstm")


def _some(units: Units, *, share: float = 0.4, seed: int = 0) -> Tensor:
    """Some of the units that may go, at least one of every floor stays."""
    samples = torch.rand(len(units), generator=torch.Generator().manual_seed(seed))
    mask = (samples < share) & units.prunable
    for floor in units.floors:
        mask[floor[samples[floor].argmax()]] = False
    return mask


def _one(units: Units, unit: int) -> Tensor:
    mask = torch.zeros(len(units), dtype=torch.bool)
    mask[unit] = True
    return mask


def _moved(model: CostModel, move: Callable[[CostModel], None]) -> float:
    """The total after a move; ``model`` is left alone."""
    twin = model.copy()
    move(twin)
    return twin.total()


@pytest.mark.parametrize("cost", _SUMS)
@pytest.mark.parametrize("name", _SOME)
def test_savings_and_gains_are_differences_of_totals(name: str, cost: str) -> None:
    network, _, units = shared(name)
    model, removed = cost_model(cost, units, network), _some(units)
    model.remove(removed)
    before, savings, gains = model.total(), model.savings(limit=1.0), model.gains()
    for unit in range(len(units)):
        one = _one(units, unit)
        if removed[unit]:
            assert _moved(model, lambda twin, one=one: twin.restore(one)) - before == pytest.approx(float(gains[unit]))
        else:
            assert before - _moved(model, lambda twin, one=one: twin.remove(one)) == pytest.approx(float(savings[unit]))
    assert model.total() == before


@pytest.mark.parametrize("name", cases())
def test_peak_activation_is_that_of_the_recount(name: str) -> None:
    network, _, units = shared(name)
    model = cost_model("peak_activation_bytes", units, network)
    assert model.total() == peak_activation_bytes(units, torch.zeros(len(units), dtype=torch.bool))
    for seed, share in enumerate((0.2, 0.5, 0.9)):
        removed = _some(units, share=share, seed=seed)
        model.remove(removed)
        assert model.total() == peak_activation_bytes(units, removed)
        model.restore(removed)


@pytest.mark.parametrize("name", _SOME)
def test_gains_of_the_peak_are_differences_of_the_recount(name: str) -> None:
    network, _, units = shared(name)
    model, removed = cost_model("peak_activation_bytes", units, network), _some(units)
    model.remove(removed)
    gains = model.gains()
    for unit in removed.nonzero().flatten().tolist():
        again = removed & ~_one(units, unit)
        assert peak_activation_bytes(units, again) - model.total() == gains[unit]


@example_count(30)
@given(name=st.sampled_from(_SOME), share=st.floats(0, 0.9), seed=st.integers(0, 99), limit=st.floats(0.2, 0.99))
def test_units_that_lower_the_peak_have_positive_savings(name: str, share: float, seed: int, limit: float) -> None:
    """Where a removal of one unit brings a call that is over the limit nearer to it, its savings are positive."""
    network, _, units = shared(name)
    model = cost_model("peak_activation_bytes", units, network)
    bound = limit * model.total()
    model.remove(_some(units, share=share, seed=seed))
    savings = model.savings(bound)
    assert bool((savings >= 0).all())
    for unit in (units.prunable & (savings == 0)).nonzero().flatten().tolist()[:5]:
        one = _one(units, unit)
        assert _moved(model, lambda twin, one=one: twin.remove(one)) >= min(bound, model.total())


def test_savings_of_a_peak_over_two_calls() -> None:
    """Two convolutions whose outputs are read at two calls of the same size: neither unit alone lowers the peak."""
    network = nn.Sequential(nn.Conv2d(4, 8, 1), nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1), nn.Conv2d(8, 4, 1)).eval()
    units = units_of(capture(network, (torch.randn(1, 4, 4, 4),)))
    model = cost_model("peak_activation_bytes", units, network)
    pixel = 16 * 4
    assert model.total() == 12 * pixel
    first, third = units.groups[0], units.groups[2]
    # Calls 1 and 2 hold the first 8 channels, calls 3 and 4 the last: half of them get smaller with either unit.
    assert model.savings()[[first.start, third.start]].tolist() == [pixel / 2, pixel / 2]
    model.remove(_one(units, first.start))
    assert model.total() == 12 * pixel
    assert model.savings()[[first.start, third.start]].tolist() == [0, pixel]
    assert model.savings(limit=10 * pixel)[first.start] == pixel / 2


@pytest.mark.parametrize("name", cases(name for name in NAMES if name not in _NOT_COUNTED_BY_TORCH))
def test_macs_are_half_the_flops_that_torch_counts(name: str) -> None:
    network, example, units = shared(name)
    for removed in (torch.zeros(len(units), dtype=torch.bool), _some(units)):
        model = cost_model("macs", units, network)
        model.remove(removed)
        small = shrink(network, units, removed, verify=False)[0].model
        with FlopCounterMode(display=False) as flops, torch.no_grad():
            small(*example)
        assert model.total() == flops.get_total_flops() / 2


@pytest.mark.long
@pytest.mark.parametrize("name", cases())
def test_costs_are_those_of_the_rewritten_network(name: str) -> None:
    network, example, units = shared(name)
    removed = _some(units)
    cost = cost_of(units, network, removed)
    small = shrink(network, units, removed, verify=False)[0].model
    again = cost_of(units_of(capture(small, example)), small)
    assert (cost.macs, cost.params, cost.flash_bytes) == (again.macs, again.params, again.flash_bytes)


@pytest.mark.parametrize(
    "name",
    [
        "concat-into-grouped",  # no biases before BatchNorm
        "split-and-shuffle",
        "u-net",
        "grouped-transposed",
        "zero-padded-residual",
        "squeeze-and-excite",
        "depthwise-separable",
        "lstm",
        "auxiliary-head",  # which evaluation does not read
    ],
)
def test_flash_bytes_are_those_of_the_exported_weights(name: str, tmp_path: Path) -> None:
    network, example, units = shared(name)
    for removed in (torch.zeros(len(units), dtype=torch.bool), _some(units)):
        small = shrink(network, units, removed, verify=False)[0].model.eval()
        written = onnx.load(export(small, example, tmp_path / "model.onnx").path)
        stored = [onnx.numpy_helper.to_array(item) for item in written.graph.initializer]
        floats = sum(array.nbytes for array in stored if array.dtype == "float32")
        assert cost_of(units, network, removed).flash_bytes == floats


def test_int8_takes_a_byte_a_weight_and_four_a_bias() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.BatchNorm2d(8)).eval()
    units = units_of(capture(network, (torch.randn(1, 3, 8, 8),)))
    vectors = 4 * 8 + 4 * 4 * 8  # the bias that is left of the first BatchNorm; the second cannot be folded
    assert cost_model("flash_bytes", units, network, precision="int8").total() == 8 * 3 * 9 + vectors
    assert cost_model("flash_bytes", units, network).total() == 4 * 8 * 3 * 9 + vectors


def test_params_are_those_of_the_network() -> None:
    network, _, units = shared("squeeze-and-excite")
    assert cost_of(units, network).params == sum(p.numel() for p in network.parameters())


def test_peak_activation_bytes_of_a_chain() -> None:
    """Input (2, 3, 8, 8) -> 4 channels -> relu in place -> 16 channels: the two last tensors are alive at once."""
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True), nn.Conv2d(4, 16, 1)).eval()
    units = units_of(capture(network, (torch.randn(2, 3, 8, 8),)))
    assert cost_of(units, network).peak_activation_bytes == 2 * 8 * 8 * (4 + 16) * 4
    half = torch.zeros(len(units), dtype=torch.bool)
    half[:2] = True
    assert cost_of(units, network, half).peak_activation_bytes == 2 * 8 * 8 * (2 + 16) * 4


def test_unknown_cost_or_precision_is_an_error() -> None:
    network, _, units = shared("u-net")
    with pytest.raises(InputError, match=r"'flops'.* macs, params, latency_ms"):
        cost_model("flops", units, network)
    with pytest.raises(InputError, match=r"'int4'.*'float32', 'int8'"):
        cost_model("flash_bytes", units, network, precision="int4")


@pytest.mark.parametrize("cost", [*_SUMS, "peak_activation_bytes", "arena_bytes"])
@pytest.mark.parametrize("name", _SOME)
def test_totals_of_many_states_are_those_of_each(name: str, cost: str) -> None:
    network, _, units = shared(name)
    model = cost_model(cost, units, network)
    whole = model.total()
    masks = torch.stack([_some(units, share=share, seed=seed) for seed, share in enumerate((0.0, 0.3, 0.8))])
    scaled = ScaledCost(model, factor=0.5, offset=3.0)
    remaining = model.terms.remaining - model.reduction(masks)
    each = [_moved(model, lambda twin, mask=mask: twin.remove(mask)) for mask in masks]
    assert model.totals(remaining).tolist() == each
    assert scaled.totals(remaining).tolist() == [0.5 * total + 3.0 for total in each]
    # As a maximum of sums, and as a cost that only knows the total of one state.
    for tried in (model, scaled):
        weights, offset = tried.as_largest_sum() or (None, 0.0)
        assert weights is not None
        values = tried.terms.at(remaining).values()
        assert ((weights @ values.T).amax(0) + offset).tolist() == tried.totals(remaining).tolist()
    assert CostModel.totals(model, remaining).tolist() == each
    assert CostModel.as_largest_sum(model) is None
    assert model.total() == whole
