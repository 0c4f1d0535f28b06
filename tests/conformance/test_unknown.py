"""What no rule knows, and what cannot be captured: said by name, and nothing else is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from edgeprune import Plan, prune
from edgeprune.cost import cost_of
from edgeprune.errors import BudgetError, CaptureError, InputError, ModelError, PlanError
from edgeprune.graph import capture, groups, shrink, units_of
from tests.example_count import example_count


@pytest.fixture(scope="module", autouse=True)
def _operators() -> Iterator[None]:
    """Operators that look elementwise, and are not: each channel is read by its neighbour."""
    with torch.library._scoped_library("conformance", "DEF") as library:
        for schema in ("mix(Tensor x) -> Tensor", "halves(Tensor x) -> (Tensor, Tensor)", "both(Tensor[] x) -> Tensor"):
            library.define(schema)
        for dispatch in ("CPU", "Meta"):
            library.impl("mix", lambda x: x + 0.5 * x.roll(1, 1), dispatch)
            library.impl("halves", lambda x: (x + 1, x - x.roll(1, 1)), dispatch)
            library.impl("both", lambda x: x[0] * x[1].roll(1, 1), dispatch)
        yield


class _Around(nn.Module):
    """Two layers, an operator that nobody knows, two layers."""

    def __init__(self, channels: int, op: str) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, channels, 1), nn.Conv2d(channels, channels, 1)
        self.third, self.last = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, 2, 1)
        self.op = op

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(x).relu())
        if self.op == "mix":
            x = torch.ops.conformance.mix(x)
        elif self.op == "halves":
            x = sum(torch.ops.conformance.halves(x))
        else:
            x = torch.ops.conformance.both([x, x.relu()])
        return self.last(self.third(x).relu())


@pytest.mark.parametrize("op", ["mix", "halves", "both"])
@example_count(3)
@given(channels=st.integers(3, 8))
def test_operator_without_a_rule_freezes_its_inputs(op: str, channels: int) -> None:
    network, example = _Around(channels, op).eval(), (torch.randn(2, 3, 4, 4),)
    units = units_of(capture(network, example))

    assert dict(units.frozen)["second"] == f"no rule for the operator conformance.{op}"
    assert [group.name for group in units.groups if group.frozen is None] == ["first", "third"]
    assert [len(group) for group in units.groups if group.frozen is None] == [channels, channels]

    removed = torch.zeros(len(units), dtype=torch.bool)
    for group in units.groups:
        if group.frozen is None:
            removed[group.start : group.stop - 1 : 2] = True
    rewritten, equivalence = shrink(network, units, removed)
    assert equivalence is not None
    assert equivalence.max_error < 1e-5
    assert rewritten.model.second.weight.shape == (channels, channels - int(removed[:channels].sum()), 1, 1)


def test_an_operator_that_a_rule_would_ruin_is_not_guessed() -> None:
    """Were ``mix`` taken for elementwise, the equivalence check would have to fail: its channels read each other."""
    network, example = _Around(6, "mix").eval(), (torch.randn(2, 3, 4, 4),)
    pruned = prune(network, example, budget={"macs": 0.6}, options={"criterion": "random"})
    assert pruned.model.second.weight.shape[0] == 6
    assert ("second", "no rule for the operator conformance.mix") in pruned.frozen


class _Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(x)
        if x.sum() > 0:  # depends on the values
            x = x.relu()
        return x


def test_data_dependent_control_flow_names_the_line() -> None:
    with pytest.raises(CaptureError) as caught:
        capture(_Branching(), (torch.randn(2, 4),))
    message = str(caught.value)
    assert "_Branching" in message
    assert "test_unknown.py" in message
    assert "if x.sum() > 0:" in message
    assert "torch.where" in message
    assert caught.value.exit_code == 3


class _Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        repeats = int(x.abs().amax().item())
        for _ in range(repeats):
            x = self.layer(x)
        return x


def test_a_loop_over_a_value_names_the_line() -> None:
    with pytest.raises(CaptureError, match=r"in forward: (for _ in|repeats =)") as caught:
        capture(_Counting(), (torch.randn(2, 4),))
    assert "test_unknown.py" in str(caught.value)


def _small(width: int = 6, *, bias: bool = True) -> nn.Module:
    return nn.Sequential(nn.Linear(4, width, bias=bias), nn.ReLU(), nn.Linear(width, 3)).eval()


@pytest.mark.parametrize(
    ("other", "first"),
    [
        (lambda: _small(8), r"0\.weight .*\(8, 4\).*\(6, 4\)"),
        (lambda: _small(bias=False), r"0\.bias .*missing.*\(6,\)"),
        (lambda: nn.Sequential(*_small(), nn.Linear(3, 3)), r"3\.weight .*\(3, 3\).*missing"),
    ],
)
def test_a_plan_for_another_network_names_the_first_parameter(other: object, first: str) -> None:
    example = (torch.randn(2, 4),)
    plan = prune(_small(), example, budget={"macs": 0.7}, options={"criterion": "random"}).plan
    with pytest.raises(PlanError, match=first) as caught:
        plan.apply(other(), example)  # type: ignore[operator]
    assert caught.value.exit_code == 3


def test_a_plan_that_splits_a_unit_is_refused() -> None:
    example = (torch.randn(2, 4),)
    plan = prune(_small(), example, budget={"macs": 0.7}, options={"criterion": "random"}).plan
    remaining = {**plan.kept_indices, "2.weight": {1: torch.arange(6)[1:]}}
    broken = Plan(remaining, plan.shapes, before=plan.before, after=plan.after)
    with pytest.raises(PlanError, match=r"[02]\.weight$"):
        broken.apply(_small(), example)


@pytest.mark.parametrize("pattern", ["2", "2.*", "*.bias", "0.weight", "*"])
def test_excluded_layers_are_not_pruned(pattern: str) -> None:
    result = groups(_small(), (torch.randn(2, 4),), exclude=[pattern])
    assert f"excluded by {pattern!r}" in [group.frozen for group in result]
    assert all(group.frozen for group in result)


def test_exclude_that_matches_nothing_lists_the_layers() -> None:
    with pytest.raises(InputError, match=r"exclude: 'head\.\*' .* 0, 2") as caught:
        groups(_small(), (torch.randn(2, 4),), exclude=["head.*"])
    assert caught.value.exit_code == 3


_COUNTED = {
    "inner": torch.inner,
    "tensordot": lambda x, w: torch.tensordot(x, w, ([1], [0])),
    "multi_dot": lambda x, w: torch.linalg.multi_dot([x, w, w]),
    "matrix power": lambda x, w: x @ torch.linalg.matrix_power(w, 3),
    "einsum with an ellipsis": lambda x, w: torch.einsum("...i,ij->...j", x, w),
}


class _Product(nn.Module):
    def __init__(self, product: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 16), nn.Linear(16, 4)
        self.factor = nn.Parameter(torch.randn(16, 16))
        self.product = product

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.product(self.first(x), self.factor))


@pytest.mark.parametrize("name", _COUNTED)
def test_macs_of_an_operator_without_a_rule_are_counted(name: str) -> None:
    network, x = _Product(_COUNTED[name]).eval(), torch.randn(3, 8)
    with FlopCounterMode(display=False) as counter:
        network(x)
    units = units_of(capture(network, (x,)))
    assert cost_of(units, network).macs == counter.get_total_flops() / 2
    assert "first" in dict(units.frozen)


@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_recurrent_layer_with_projections_is_counted_and_listed_as_frozen() -> None:
    class Projected(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(8, 16, batch_first=True, proj_size=4)

        def forward(self, x: Tensor) -> Tensor:
            return self.lstm(x)[0]

    network = Projected().eval()
    units = units_of(capture(network, (torch.randn(3, 5, 8),)))
    # 5 steps of 3 samples; 64 rows of gates read the input and the projected state, which 16 units are projected to.
    assert cost_of(units, network).macs == 15 * (64 * (8 + 4) + 16 * 4)
    assert [(name.startswith("lstm"), "projections" in reason) for name, reason in units.frozen] == [(True, True)]


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize(
    ("network", "error", "reason"),
    [
        (nn.Sequential(nn.ReLU()), ModelError, "no weights"),
        (nn.LSTM(8, 16, proj_size=4), BudgetError, "aten.lstm with .*projections"),
    ],
)
def test_network_without_prunable_units_is_refused(network: nn.Module, error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        prune(network.eval(), (torch.randn(2, 3, 8),), budget={"macs": 0.5})


def test_packed_sequences_are_refused_with_their_own_hint() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(8, 16, batch_first=True)

        def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
            return self.lstm(nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True))[1][0]

    with pytest.raises(CaptureError, match="padded sequences"):
        capture(Packed().eval(), (torch.randn(2, 5, 8), torch.tensor([5, 3])))
