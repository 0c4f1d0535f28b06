"""The equivalence check catches every planted mistake."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from edgeprune import prune
from edgeprune.errors import EdgePruneError, EquivalenceError
from edgeprune.graph import Units, capture, shrink, units_of
from edgeprune.graph.rules import data_movement
from tests.networks.collection import make

_NETWORKS = ("zero-padded-residual", "concat-into-grouped", "split-and-shuffle", "fused-projection", "broadcast", "gru")


def _third(units: Units) -> Tensor:
    """Every third unit of each group, so that no shift by one maps what is removed to itself."""
    removed = torch.zeros(len(units), dtype=torch.bool)
    for group in units.groups:
        if group.frozen is None:
            removed[group.start : group.stop - 1 : 3] = True
    return removed


class Standardized(nn.Module):
    """Divides by the standard deviation over channels, which a single channel does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(4, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.enter(x)
        out: Tensor = self.leave(y / y.std(-1, keepdim=True))
        return out


def test_network_that_returns_nan_without_the_removed_units_is_an_error_that_says_so() -> None:
    torch.manual_seed(0)
    network, x = Standardized().eval(), torch.randn(2, 4)
    units = units_of(capture(network, (x,)))
    removed = units.prunable.clone()
    removed[0] = False
    with pytest.raises(EquivalenceError, match="NaN"):
        shrink(network, units, removed)


class Logarithm(nn.Module):
    """The logarithm of a weight that noise makes negative."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.scale, self.leave = nn.Linear(4, 6), nn.Parameter(torch.full((6,), 1e-3)), nn.Linear(6, 2)
        with torch.no_grad():
            self.scale[0] = -1.0

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.leave(self.enter(x) * torch.log(self.scale + 1.001))
        return out


def test_noise_that_leaves_the_domain_of_a_logarithm_is_no_difference() -> None:
    torch.manual_seed(0)
    assert prune(Logarithm().eval(), (torch.randn(2, 4),), budget={"macs": 0.5}).equivalence is not None


@pytest.mark.long
@pytest.mark.parametrize("name", _NETWORKS)
def test_one_index_off_in_any_tensor_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, example = make(name)
    units = units_of(capture(network, example))
    removed = _third(units)
    right = units.kept_indices(removed)
    for tensor, dims in right.items():
        for dim in dims:
            size = dict([*network.named_parameters(), *network.named_buffers()])[tensor].shape[dim]
            wrong = {**right, tensor: {**dims, dim: ((dims[dim] + 1) % size).sort().values}}
            monkeypatch.setattr(Units, "kept_indices", lambda self, mask, wrong=wrong: wrong)
            with pytest.raises(EquivalenceError):
                shrink(network, units, removed)


@pytest.mark.long
@pytest.mark.parametrize("name", _NETWORKS)
def test_a_tensor_that_was_missed_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, example = make(name)
    units = units_of(capture(network, example))
    removed = _third(units)
    right: Mapping[str, Mapping[int, Tensor]] = units.kept_indices(removed)
    for tensor in right:
        missed = {name: dims for name, dims in right.items() if name != tensor}
        monkeypatch.setattr(Units, "kept_indices", lambda self, mask, missed=missed: missed)
        with pytest.raises(EdgePruneError):
            shrink(network, units, removed)


def test_a_wrong_rule_for_data_movement_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = data_movement.move

    def off_by_one(call, elements, changed=None):  # type: ignore[no-untyped-def]
        parts = moved(call, elements, changed)
        return [part.roll(1, 1) for part in parts] if call.name == "aten.chunk" and changed is None else parts

    network, example = make("split-and-shuffle")
    monkeypatch.setattr(data_movement, "move", off_by_one)
    units = units_of(capture(network, example))
    with pytest.raises(EdgePruneError):
        shrink(network, units, _third(units))


def test_skipped_equivalence_check_reports_none() -> None:
    network, example = make("squeeze-and-excite")
    units = units_of(capture(network, example))
    rewritten, equivalence = shrink(network, units, _third(units), verify=False)
    assert equivalence is None
    assert rewritten.kept_indices


@pytest.mark.long
def test_layer_norm_is_checked_against_its_own_slice() -> None:
    network, example = make("tokens-and-positions")
    units = units_of(capture(network, example))
    _, equivalence = shrink(network, units, _third(units))
    assert equivalence is not None
    assert not equivalence.exact
    assert equivalence.max_error < 1e-5
