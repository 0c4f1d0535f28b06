"""Penalties shrink what may go, the more the less it does, and leave the rest alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgeprune import criteria, selection
from edgeprune.config import Budget
from edgeprune.errors import InputError
from edgeprune.schedules import Choice, Penalty, PruningSession, Schedule, VariationalDropout, create
from edgeprune.schedules.group_lasso import GroupLasso
from edgeprune.schedules.growing import Growing
from edgeprune.schedules.hard_concrete import HardConcrete
from edgeprune.schedules.penalty import unit_weights
from edgeprune.schedules.proximal_penalty import PricedPenalty, ProximalPenalty
from edgeprune.schedules.unit_scales import ScalePenalty
from edgeprune.schedules.variational_dropout import DropoutNoise
from edgeprune.training.phase import Hook, Phase
from tests.networks.collection import make
from tests.schedules.driver import drive
from tests.schedules.tiny import IMAGE, Small, small, split

_EXAMPLE = (torch.zeros(2, *IMAGE),)
_KINDS = ("l1", "elastic_net", "group_lasso", "sparse_group_lasso", "growing", "l0")


def _session(model: nn.Module | None = None, **options: Any) -> PruningSession:
    choice = Choice(criteria.create("l2"), selection.create("global"))
    return PruningSession(model or small(), _EXAMPLE, Budget(macs=0.45), choice, **options)


def _alike(session: PruningSession) -> Tensor:
    return unit_weights(session, by_cost=False)


_SHRINKING: dict[str, Callable[[PruningSession, float], ProximalPenalty]] = {
    "l1": lambda session, strength: ScalePenalty(session, strength, _alike(session), 1.0),
    "elastic_net": lambda session, strength: ScalePenalty(session, strength, _alike(session), 0.5),
    "group_lasso": lambda session, strength: GroupLasso(session, strength, _alike(session), 0.0),
    "sparse_group_lasso": lambda session, strength: GroupLasso(session, strength, _alike(session), 0.5),
    "growing": lambda session, strength: Growing(session, strength, 5),
}


class Under(Schedule):
    """All training under one hook, and nothing goes."""

    name = "under"

    def __init__(self, hook: Hook) -> None:
        self.hook = hook

    def run(self, session: PruningSession) -> Iterator[Phase]:
        yield Phase(fraction=1.0, hook=self.hook)


def _alone(hook: Hook, steps: int = 10) -> None:
    """What the hook does to weights that nothing else changes."""
    hook.begin(steps)
    for step in range(steps):
        hook.after_update(step)
    hook.end()


def _conv1(session: PruningSession) -> slice:
    """The units between the two convolutions."""
    (group,) = [group for group in session.units.groups if group.name == "conv1"]
    return slice(group.start, group.stop)


def _trained() -> Small:
    """A network that has learned what there is to learn."""
    model = small()
    drive(Under(Hook()), _session(model), split(), 60, batch_size=16)
    return model


@pytest.mark.long
@pytest.mark.parametrize("kind", _SHRINKING)
def test_less_is_left_than_without_the_penalty(kind: str) -> None:
    remaining = []
    for strength in (1e-9, 2.0):
        session = _session()
        hook = _SHRINKING[kind](session, strength)
        drive(Under(hook), session, split(), 30, batch_size=16)
        remaining.append(hook.lengths()[session.units.prunable].sum())
    assert remaining[1] < 0.8 * remaining[0]


def test_scales_lose_the_same_each_and_end_at_zero() -> None:
    session = _session()
    weight = session.model.get_parameter("bn1.weight")
    before = torch.linspace(0.1, 1.9, 12)  # 1 on average
    with torch.no_grad():
        weight.copy_(before)
    _alone(ScalePenalty(session, 0.5, _alike(session), 1.0))
    torch.testing.assert_close(weight.detach(), (before - 0.5).clamp(min=0))


def test_emphasis_shifts_the_penalty_to_weak_units() -> None:
    session = _session()
    weight = session.model.get_parameter("bn1.weight")
    before = torch.linspace(0.1, 1.9, 12)  # 1 on average
    with torch.no_grad():
        weight.copy_(before)
    _alone(ScalePenalty(session, 0.01, _alike(session), 1.0, emphasis=4.0), steps=1)
    losses = before - weight.detach()
    assert float(losses[0] / losses[-1]) == pytest.approx(16, rel=1e-2)
    torch.testing.assert_close(losses, losses.sort(descending=True).values)
    assert float(losses.mean()) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("kind", ["l1", "group_lasso"])
def test_penalty_is_zero_within_the_budget(kind: str) -> None:
    session = _session()
    with torch.no_grad():
        session.model.get_parameter("bn1.weight").copy_(torch.linspace(0.5, 1.5, 12))
    hook = _SHRINKING[kind](session, 5.0)
    assert isinstance(hook, PricedPenalty)
    hook.begin(100)
    assert not session.within(hook.negligible())
    for step in range(100):
        hook.after_update(step)
    assert session.within(hook.negligible())
    assert not bool(hook.negligible()[session.units.prunable].all())

    begun_anew = _SHRINKING[kind](session, 5.0)
    begun_anew.begin(100)
    begun_anew.load_state_dict(hook.state_dict())
    before = {name: tensor.clone() for name, tensor in session.model.state_dict().items()}
    begun_anew.after_update(50)
    assert all(torch.equal(tensor, before[name]) for name, tensor in session.model.state_dict().items())


def test_elastic_net_also_shrinks_in_proportion() -> None:
    session = _session()
    weight = session.model.get_parameter("bn1.weight")
    _alone(ScalePenalty(session, 1.0, _alike(session), 0.0))
    torch.testing.assert_close(weight.detach(), torch.full((12,), 1.1**-10))


def test_units_without_a_normalisation_lose_of_their_filters() -> None:
    session = _session()
    weight = session.model.get_parameter("stem.weight")
    before = weight.detach().clone()
    _alone(ScalePenalty(session, 0.5, _alike(session), 1.0))
    norms, after = before.flatten(1).norm(dim=1), weight.detach().flatten(1).norm(dim=1)
    torch.testing.assert_close(after, (norms - 0.5 * norms.mean()).clamp(min=0))


def test_group_lasso_shrinks_all_coupled_weights_in_proportion() -> None:
    session = _session()
    model = session.model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    _alone(GroupLasso(session, 0.3, _alike(session), 0.0))
    factor = model.bn1.weight.detach() / before["bn1.weight"]
    assert 0.5 < float(factor.min()) < float(factor.max()) < 0.9
    torch.testing.assert_close(model.conv1.bias.detach(), before["conv1.bias"] * factor)
    stream = model.stem.bias.detach() / before["stem.bias"]
    both = before["conv1.weight"] * factor[:, None, None, None] * stream[:, None, None]
    torch.testing.assert_close(model.conv1.weight.detach(), both)


def test_a_sparse_group_also_loses_single_weights() -> None:
    zeros = []
    for ratio in (0.0, 0.5):
        session = _session()
        _alone(GroupLasso(session, 0.3, _alike(session), ratio))
        zeros.append(int((session.model.get_parameter("conv2.weight") == 0).sum()))
    assert zeros[0] == 0
    assert zeros[1] > 100


def test_growing_ridge_shrinks_only_units_to_be_removed() -> None:
    session = _session()
    weight = session.model.get_parameter("bn1.weight")
    hook = Growing(session, 3.0, 1)
    hook.begin(100)
    going = hook.going[_conv1(session)]
    for step in range(99):
        hook.after_update(step)
    assert 0 < int(going.sum()) < 12
    torch.testing.assert_close(
        weight.detach()[going], torch.tensor(-3.0).exp().expand(int(going.sum())), rtol=0.1, atol=0
    )
    assert bool((weight.detach()[~going] == 1).all())


def test_ridge_penalty_decreases_for_units_that_are_no_longer_weakest() -> None:
    session = _session()
    weight = session.model.get_parameter("bn1.weight")
    hook = Growing(session, 0.5, 50)
    hook.begin(100)
    going, units = hook.going.clone(), _conv1(session)
    first = int(going[units].nonzero()[0])
    staying = int((~going[units]).nonzero()[0])
    for step in range(100):
        with torch.no_grad():  # what the loss holds, and what it lets go
            weight[first] = 5.0
            weight[staying] *= 0.9
        hook.after_update(step)
    ridge = hook.ridge[units]
    assert float(ridge[first]) < float(ridge[staying])


def test_the_penalty_falls_with_the_learning_rate() -> None:
    losses = []
    for rates in ((0.1, 0.1), (0.1, 0.05)):
        session = _session()
        weight = session.model.get_parameter("bn1.weight")
        session.optimizer = torch.optim.SGD(session.model.parameters(), lr=0.1)
        hook = ScalePenalty(session, 0.5, _alike(session), 1.0)
        hook.begin(2)
        for step, rate in enumerate(rates):
            session.optimizer.param_groups[0]["lr"] = rate
            hook.after_update(step)
        losses.append(1 - float(weight.detach().mean()))
    assert losses == pytest.approx([0.5, 0.375])


@pytest.mark.parametrize("kind", _SHRINKING)
def test_frozen_units_have_no_penalty(kind: str) -> None:
    model = small()
    before = model.linear.bias.detach().clone()
    _alone(_SHRINKING[kind](_session(model), 2.0))
    assert torch.equal(model.linear.bias.detach(), before)


def test_penalty_of_a_unit_is_proportional_to_its_savings() -> None:
    session = _session()
    weights, saved = unit_weights(session, by_cost=True), session.savings()
    prunable = session.units.prunable
    assert float(weights[prunable].mean()) == pytest.approx(1.0)
    torch.testing.assert_close(weights[prunable] / weights[prunable].sum(), saved[prunable] / saved[prunable].sum())
    assert not bool(weights[~prunable].any())
    assert len(unit_weights(session, by_cost=False)[prunable].unique()) == 1


@pytest.mark.long
@pytest.mark.parametrize(
    "schedule",
    [
        *(Penalty(kind=kind, strength=0.3, by_cost=False) for kind in _KINDS[:4]),
        Penalty(kind="growing"),
        Penalty(kind="l0", by_cost=False),
        VariationalDropout(by_cost=False),
    ],
    ids=[*_KINDS, "variational_dropout"],
)
def test_dead_units_are_removed_first(schedule: Schedule) -> None:
    model = _trained()
    useless = [1, 4, 6, 9]
    with torch.no_grad():
        model.conv2.weight[:, useless] *= 1e-3
        model.bn1.weight[useless] *= 1e-2
        model.bn1.bias[useless] *= 1e-2
        model.conv1.weight[useless] *= 0.5
    session = _session(model)
    drive(schedule, session, split(), 60, lr=1e-3, batch_size=16)
    removed = set(range(12)) - set(session.kept_indices()["conv2.weight"][1].tolist())
    assert removed
    assert removed <= set(useless) or set(useless) <= removed


@pytest.mark.long
@pytest.mark.parametrize("kind", [HardConcrete, DropoutNoise])
@pytest.mark.parametrize("strength", [10.0, 100.0])
def test_penalty_strength_follows_the_budget(kind: type[HardConcrete | DropoutNoise], strength: float) -> None:
    session = _session(_trained())
    hook = kind(session, strength, unit_weights(session, by_cost=True))
    drive(Under(hook), session, split(), 100, batch_size=16)
    opened = hook.opened().detach()
    assert float(opened[session.units.prunable].std()) > 0.15, "units are told apart"
    assert float((hook.fractions * opened).sum()) == pytest.approx(hook.due, abs=0.1)


def test_ungated_units_count_as_open() -> None:
    model, example = make("parametrised")
    session = PruningSession(
        model, example, Budget(macs=0.5), Choice(criteria.create("l2"), selection.create("global"))
    )
    hook = HardConcrete(session, 10.0, _alike(session))
    hook.begin(10)
    gated, prunable = hook.gates.gated, session.units.prunable
    assert bool((prunable & ~gated).any())
    assert float(hook.scores()[prunable & ~gated].min()) > float(hook.scores()[prunable & gated].max())


@pytest.mark.long
def test_hard_gates_are_closed_as_often_as_they_should_be() -> None:
    session = _session()
    hook = HardConcrete(session, 0.01, _alike(session))
    hook.begin(10)
    gated = hook.gates.gated
    with torch.no_grad():
        hook.learned.fill_(-1.0)
    samples = torch.stack([hook.draw(step) for step in range(400)])[:, gated]
    assert float((samples > 0).float().mean()) == pytest.approx(float(hook.opened().detach()[0]), abs=0.02)
    assert samples.min() == 0
    assert samples.max() == 1


def test_noise_is_as_large_as_the_rate_that_was_learned() -> None:
    session = _session()
    hook = DropoutNoise(session, 0.01, _alike(session))
    hook.begin(10)
    with torch.no_grad():
        hook.learned.fill_(-2.0)
    samples = torch.stack([hook.draw(step) for step in range(400)])
    assert float(samples.mean()) == pytest.approx(1.0, abs=0.02)
    assert float(samples.var()) == pytest.approx(float(torch.tensor(-2.0).exp()), rel=0.05)


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("penalty", {"kind": "l3"}, r"kind: got 'l3'.*'l1'.*'elastic_net'"),
        ("penalty", {"strength": 0}, r"strength: got 0,.* 0$"),
        ("penalty", {"share": 1.0}, r"share: got 1\.0,.* 0 and .* 1$"),
        ("penalty", {"by_cost": 1}, r"by_cost: got 1,.*True"),
        ("variational_dropout", {"strength": "much"}, r"strength: got 'much'.* 0$"),
        ("variational_dropout", {"share": 0.0}, r"share: got 0\.0,.* 0 and .* 1$"),
    ],
)
def test_options_that_are_not_allowed_are_refused(name: str, options: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        create(name, options)
