"""Schedules that prune between trainings: when they do, and with which weights they go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgeprune import criteria, selection
from edgeprune.config import Budget
from edgeprune.cost import cost_of
from edgeprune.errors import InputError
from edgeprune.graph.rewrite import slice_tensor
from edgeprune.schedules import Choice, PruningSession, Schedule, create
from edgeprune.schedules.retrain_from_scratch import random_widths
from edgeprune.statistics import Samples
from edgeprune.training.phase import Phase
from tests.schedules.tiny import IMAGE, small, split

_EXAMPLE = (torch.zeros(2, *IMAGE),)
_FRESH = 100  # what is added to a seed for fresh weights


def _session(model: nn.Module | None = None, *, macs: float = 0.53, **options: Any) -> PruningSession:
    model = model or small()
    return PruningSession(
        model,
        _EXAMPLE,
        Budget(macs=macs),
        Choice(criteria.create("l2"), selection.create("global")),
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
        **options,
    )


def _fresh(seed: int) -> dict[str, Tensor]:
    return small(seed=_FRESH + seed % 100).state_dict()


def _macs(session: PruningSession) -> int:
    return cost_of(session.units, session.model).macs


def _walk(
    schedule: Schedule, session: PruningSession, train: Callable[[int], None] = lambda _number: None
) -> list[tuple[Phase, dict[str, Tensor], int]]:
    """For each phase the weights and the MACs it begins with; ``train`` then stands for its steps."""
    calls = []
    for number, phase in enumerate(schedule.run(session)):
        calls.append((phase, {name: it.clone() for name, it in session.model.state_dict().items()}, _macs(session)))
        train(number)
    return calls


def _sliced(session: PruningSession, dense: dict[str, Tensor]) -> dict[str, Tensor]:
    """What is left of the ``dense`` weights."""
    remaining = session.kept_indices()
    return {name: slice_tensor(tensor, remaining.get(name, {})) for name, tensor in dense.items()}


def _equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def _shaken(session: PruningSession) -> Callable[[int], None]:
    """Training that leaves other weights, and momentum."""

    def train(number: int) -> None:
        assert session.optimizer is not None
        generator = torch.Generator().manual_seed(number)
        for parameter in session.model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        session.optimizer.step()

    return train


@pytest.mark.long
@pytest.mark.parametrize(
    ("options", "shares"),
    [
        ({"rounds": 1}, [0.25]),
        ({"rounds": 2}, [0.5, 0.25]),
        ({"rounds": 3, "path": "polynomial", "power": 2}, [7 / 12, 1 / 3, 0.25]),
    ],
)
def test_rounds_follow_their_path_of_costs(options: dict[str, Any], shares: list[float]) -> None:
    session = _session(macs=0.25)
    dense = _macs(session)
    calls = _walk(create("iterative", options), session)
    assert [phase.rate for phase, *_ in calls] == [(0.0, 1.0)] * len(shares)
    for (_, _, macs), share in zip(calls, shares, strict=True):
        assert share - 0.08 < macs / dense <= share


def test_rewound_weights_are_those_of_early_training() -> None:
    early = small(seed=1).state_dict()
    session = _session(rewind_weights=early)
    schedule = create("weight_rewinding", {"rewind": 0.25, "rounds": 2})
    calls = []

    def train(number: int) -> None:
        assert _equal(session.model.state_dict(), _sliced(session, early))
        assert session.optimizer is not None
        assert not session.optimizer.state, "momentum of other weights"
        _shaken(session)(number)
        calls.append(number)

    phases = [phase for phase, *_ in _walk(schedule, session, train)]
    assert calls == [0, 1]
    assert [(phase.fraction, phase.rate) for phase in phases] == [(0.5, (0.25, 1.0))] * 2


def test_rewinding_the_rate_keeps_the_weights() -> None:
    model = small()
    dense = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    session = _session(model)
    ((phase, state, _),) = _walk(create("lr_rewinding", {"rewind": 0.2}), session)
    assert phase.rate == (0.2, 1.0)
    assert _equal(state, _sliced(session, dense))


def test_retrained_weights_are_fresh_and_as_large_as_the_width_asks() -> None:
    session = _session(initialize=_fresh, seed=7)
    ((phase, _, _),) = _walk(create("retrain_from_scratch"), session)
    assert phase.fraction == 1.0
    dense = _fresh(7)
    fresh = _sliced(session, dense)
    for name, tensor in session.model.named_parameters():
        wider = dense[name][0].numel() / tensor[0].numel() if tensor.ndim > 1 else 1
        assert torch.allclose(tensor, fresh[name] * wider**0.5), name


@pytest.mark.long
def test_retrain_from_scratch_draws_new_weights_by_seed() -> None:
    model = small()
    dense = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    session = _session(model, seed=7)
    ((_, state, _),) = _walk(create("retrain_from_scratch"), session)
    ((_, again, _),) = _walk(create("retrain_from_scratch"), _session(seed=7))
    assert _equal(state, again)
    assert not torch.equal(state["conv1.weight"], _sliced(session, dense)["conv1.weight"])


@pytest.mark.long
def test_random_widths_differ_by_seed_within_the_same_budget() -> None:
    widths = set()
    for seed in range(6):
        session = _session(seed=seed)
        dense = _macs(session)
        _walk(create("retrain_from_scratch", {"widths": "random"}), session)
        assert 0.35 < _macs(session) / dense <= 0.53
        widths.add(session.model.get_parameter("conv1.weight").shape)
    assert len(widths) > 2


def test_random_widths_keep_a_fraction_of_each_group() -> None:
    units = _session().units
    factors = random_widths(units, 3)
    assert torch.equal(factors, random_widths(units, 3))
    assert not torch.equal(factors, random_widths(units, 4))
    for group in units.groups:
        assert len(factors[group.start : group.stop].unique()) == 1


@pytest.mark.long
def test_ticket_rewinds_to_early_weights() -> None:
    session = _session(macs=0.25)
    dense = _macs(session)
    calls = _walk(create("lottery_ticket", {"rounds": 2, "rewind": 0.25}), session, _shaken(session))
    early = calls[1][1]  # what the second phase begins with
    assert _equal(calls[3][1], _sliced(session, early))
    assert not _equal(calls[3][1], _sliced(session, calls[0][1]))
    assert [macs / dense <= share for (_, _, macs), share in zip(calls[2:], (0.5, 0.25), strict=True)] == [True] * 2
    assert calls[0][2] == calls[1][2] == dense
    one = 1 / (0.25 + 3 * 0.75)
    assert [phase.rate for phase, *_ in calls] == [(0.0, 0.25), *[(0.25, 1.0)] * 3]
    assert [phase.fraction for phase, *_ in calls] == pytest.approx([one * 0.25, *[one * 0.75] * 3])


def test_ticket_rewinds_to_initial_weights() -> None:
    session = _session()
    calls = _walk(create("lottery_ticket", {"rounds": 1, "rewind": 0.0}), session, _shaken(session))
    assert len(calls) == 2
    assert _equal(calls[1][1], _sliced(session, calls[0][1]))


@pytest.mark.long
def test_random_ticket_has_the_same_widths_and_new_weights() -> None:
    tickets = []
    for control in (False, True):
        session = _session(initialize=_fresh, seed=5)
        options = {"rounds": 1, "rewind": 0.0, "control": control}
        tickets.append(_walk(create("lottery_ticket", options), session, _shaken(session))[-1])
    (_, ticket, _), (phase, control, _) = tickets
    assert {name: it.shape for name, it in ticket.items()} == {name: it.shape for name, it in control.items()}
    assert not torch.equal(ticket["conv1.weight"], control["conv1.weight"])
    assert not torch.equal(control["stem.bias"], _sliced(session, _fresh(5))["stem.bias"]), "of the session's own seed"
    assert phase.rate == (0.0, 1.0)


@pytest.mark.parametrize("best", range(2))
def test_the_best_of_several_draws_is_removed(best: int) -> None:
    values = iter([float(draw == best) for draw in range(2)])
    session = _session(evaluate=lambda _model: next(values), seed=0)
    dense = {name: it.clone() for name, it in session.model.state_dict().items()}
    weight = session.model.get_parameter("conv2.weight")
    closed, shares = [], []

    def is_closed() -> Tensor:
        return (weight == 0).all(dim=3).all(dim=2).all(dim=0)

    for phase in create("at_init", {"draws": 2, "proxy": 0.3}).run(session):
        shares.append(phase.fraction)
        if phase.hook is None:
            continue
        assert _equal(session.model.state_dict(), dense), "every draw begins with the same weights"
        phase.hook.begin(1)
        closed.append(is_closed())
        phase.hook.before_update(0)
        with torch.no_grad():
            weight.add_(1)
        phase.hook.after_update(0)
        assert torch.equal(is_closed(), closed[-1]), "what is removed learns nothing"
        phase.hook.end()
    assert shares == pytest.approx([0.15, 0.15, 0.7])
    assert not torch.equal(*closed)
    removed = torch.ones(12, dtype=torch.bool)
    removed[session.kept_indices().get("conv2.weight", {}).get(1, torch.arange(12))] = False
    assert torch.equal(removed, closed[best])
    assert _equal(session.model.state_dict(), _sliced(session, dense))


def test_single_draw_is_not_evaluated() -> None:
    session = _session()
    ((phase, _, _),) = _walk(create("at_init", {"criterion": "random"}), session)
    assert phase.fraction == 1.0


@pytest.mark.long
def test_custom_criterion_can_use_data() -> None:
    schedule = create("at_init", {"criterion": "snip"})
    with pytest.raises(InputError, match=r"'snip' .*data with labels"):
        schedule.check(_session())
    session = _session(samples=Samples.of(split(), count=32))
    schedule.check(session)
    _walk(schedule, session)
    other = _session()
    _walk(create("one_shot"), other)
    assert session.kept_indices()["conv2.weight"][1].tolist() != other.kept_indices()["conv2.weight"][1].tolist()


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("iterative", {"rounds": 0}, r"rounds: got 0,.* 1$"),
        ("iterative", {"path": "straight"}, r"path: got 'straight'.*'exponential'.*'polynomial'"),
        ("iterative", {"power": 0}, r"power: got 0,.* 0$"),
        ("weight_rewinding", {"rewind": 1.0}, r"rewind: got 1\.0,.* 0 and .* 0\.9$"),
        ("lr_rewinding", {"rounds": 1.5}, r"rounds: got 1\.5,.*integer"),
        ("retrain_from_scratch", {"widths": "wide"}, r"widths: got 'wide'.*'chosen'.*'random'"),
        ("lottery_ticket", {"control": "yes"}, r"control: got 'yes'.*True"),
        ("at_init", {"criterion": "snap"}, r"criterion: got 'snap'.*'snip'"),
        ("at_init", {"proxy": 1.0}, r"proxy: got 1\.0,.* 0 and .* 1$"),
    ],
)
def test_options_that_are_not_allowed_are_refused(name: str, options: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        create(name, options)


def test_session_keeps_the_scores_of_the_last_selection() -> None:
    session = _session()
    assert session.scores is None
    dense = session.score()
    session.choose(torch.rand_like(dense))
    _walk(create("iterative", {"rounds": 2}), session)
    assert session.scores is not None
    assert torch.equal(session.scores, dense)
