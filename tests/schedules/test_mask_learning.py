"""Masks that are learned: what is of no use is closed, what costs more must give more, and rewards rise."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeprune import criteria, selection
from edgeprune.config import Budget
from edgeprune.errors import InputError
from edgeprune.schedules import Choice, ExternalLoop, LoopOptions, MaskLearning, PruningSession, create
from edgeprune.schedules.gates_agent import LearnedGates
from edgeprune.schedules.mask_agent import Agent
from edgeprune.schedules.policy_agent import Policy
from edgeprune.statistics import Samples
from edgeprune.training.phase import Phase
from tests.schedules.driver import drive
from tests.schedules.tiny import IMAGE, Small, small, split

_every_agent = pytest.mark.parametrize("agent", ["gates", "attention", "policy"])
_EXAMPLE = (torch.zeros(2, *IMAGE),)
_BATCHES = list(split().batches(16))
_USELESS = [1, 4, 7, 10]


def _session(model: nn.Module | None = None, budget: dict[str, float] | None = None, **choice: Any) -> PruningSession:
    return PruningSession(
        small() if model is None else model,
        _EXAMPLE,
        Budget(**(budget or {"macs": 0.45})),
        Choice(criteria.create("l2"), selection.create("global", choice)),
        samples=Samples.of(split(), count=64, batch_size=64),
    )


def _misleading() -> Small:
    """A network that has learned, but for units of ``conv1`` that nothing makes use of and whose filters are large."""
    model = small()
    with torch.no_grad():
        model.conv1.weight[_USELESS] *= 3
        model.conv2.weight[:, _USELESS] = 0
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for inputs, labels in islice(cycle(_BATCHES), 60):
        optimizer.zero_grad()
        functional.cross_entropy(model.train()(inputs), labels).backward()
        assert model.conv2.weight.grad is not None
        model.conv2.weight.grad[:, _USELESS] = 0
        optimizer.step()
    return model.eval()


class _Watched(MaskLearning):
    """Keeps the agent."""

    def run(self, session: PruningSession) -> Iterator[Phase]:
        for phase in super().run(session):
            if isinstance(phase.hook, Agent):
                self.learner = phase.hook
            yield phase


@pytest.mark.long
@pytest.mark.parametrize(("agent", "reach"), [("gates", 4.0), ("attention", 32.0)])
def test_mask_learning_removes_useless_units_that_the_criterion_prefers(agent: str, reach: float) -> None:
    model = _misleading()
    values = {}
    for far in (1e-6, reach):
        session = _session(copy.deepcopy(model), {"macs": 0.55})
        schedule = _Watched(agent, reach=far)
        drive(schedule, session, split(), 200, lr=0.0, batch_size=16)
        values[far] = session.value()
    logits = schedule.learner.network().detach()[8:20]  # of conv1
    useless = torch.isin(torch.arange(12), torch.tensor(_USELESS))
    assert logits[useless].max() < logits[~useless].mean() - 0.2
    assert values[reach] > values[1e-6] + 0.05


def test_learned_mask_prefers_cheap_units() -> None:
    session = _session(None, {"macs": 0.75}, alpha=0.0, balance=0.0)  # a selection that looks at no costs
    agent = LearnedGates(session, choices=1, reach=4.0)
    agent.begin(20)
    units = session.units
    stem, conv1 = (units.groups[0].start, units.groups[0].stop), (units.groups[1].start, units.groups[1].stop)
    assert session.savings()[stem[0]] > 1.5 * session.savings()[conv1[0]]

    def gone() -> list[int]:
        agent.update_scores()
        removed = agent.removed(agent.network())
        return [int(removed[slice(*group)].sum()) for group in (stem, conv1)]

    before = gone()
    for step in range(20):
        agent.learn(step, -units.prunable.float())  # every unit gives as much
    logits = agent.network().detach()
    assert bool((logits[slice(*stem)] < -1).all())
    assert bool((logits[slice(*conv1)] > 1).all())
    after = gone()
    assert before[1] > after[1] == 0
    assert after[0] > before[0]


@pytest.mark.long
def test_the_reward_rises_over_the_start_of_the_policy() -> None:
    session = _session(_misleading(), {"macs": 0.35})
    policy = Policy(session, choices=1, reach=4.0, evaluations=64, samples=256)
    policy.begin(8)
    policy.update_scores()
    noise = 0.5 * torch.randn(24, len(session.units.groups), generator=torch.Generator().manual_seed(5))

    def expected() -> float:
        return sum(policy.reward(policy.network.means + one) for one in noise) / len(noise)

    before, dense = expected(), copy.deepcopy(session.model.state_dict())
    for step in range(1, 9):
        policy.explore(step)
    assert expected() > before + 0.02
    assert all(torch.equal(tensor, dense[name]) for name, tensor in session.model.state_dict().items())


def test_policy_is_unchanged_if_all_rewards_are_equal() -> None:
    session = _session()
    session.evaluate = lambda _model: 0.5
    policy = Policy(session, choices=1, reach=4.0, evaluations=4, samples=256)
    policy.begin(2)
    policy.explore(1)
    assert not bool(policy.network.means.any())


@pytest.mark.parametrize("evaluations", [2, 12, 21])
def test_the_policy_spends_no_more_evaluations_than_it_has(evaluations: int) -> None:
    session, calls = _session(), []
    session.evaluate = lambda model: calls.append(model) or float(len(calls))
    drive(create("mask_learning", {"agent": "policy", "evaluations": evaluations}), session, split(), 20, batch_size=16)
    assert 0.6 * evaluations <= len(calls) <= evaluations


def test_policy_reward_uses_a_subset_of_samples_if_cheaper() -> None:
    session, requested = _session(), []
    session.evaluate = lambda _model: pytest.fail("it was asked for all of the validation data")
    session.reward = lambda _model, samples: requested.append(samples) or float(len(requested))
    options = {"agent": "policy", "evaluations": 4, "samples": 7}
    drive(create("mask_learning", options), session, split(), 20, batch_size=16)
    assert requested == [7] * 4


def _attach(agent: str, model: nn.Module, optimizer: torch.optim.Optimizer, **options: Any) -> ExternalLoop:
    schedule = create("mask_learning", {"agent": agent, "choices": 4, "evaluations": 8})
    return schedule.attach(
        model, _EXAMPLE, optimizer=optimizer, budget={"macs": 0.5}, steps=20, data=_BATCHES, loop=LoopOptions(**options)
    )


def _train(model: nn.Module, optimizer: torch.optim.Optimizer, begin: int, end: int) -> None:
    for inputs, labels in islice(cycle(_BATCHES), begin, end):
        optimizer.zero_grad()
        functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()


@pytest.mark.long
@_every_agent
@pytest.mark.parametrize("stop", [5, 13])
def test_an_interrupted_loop_ends_with_the_same_weights(agent: str, stop: int) -> None:
    model = small().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    stored = io.BytesIO()
    with _attach(agent, model, optimizer) as pruning:
        _train(model, optimizer, 0, stop)
        torch.save([part.state_dict() for part in (pruning, model, optimizer)], stored)
        _train(model, optimizer, stop, 20)
    assert pruning.done
    assert 0.3 < pruning.plan.after.macs / pruning.plan.before.macs <= 0.5
    assert all(optimizer.state[it]["momentum_buffer"].shape == it.shape for it in model.parameters())
    assert pruning.plan.origin["schedule"]["agent"] == agent

    again = small().train()
    optimizer = torch.optim.SGD(again.parameters(), lr=0.05, momentum=0.9)
    stored.seek(0)
    torch.rand(3)
    with _attach(agent, again, optimizer) as pruning:
        for part, state in zip((pruning, again, optimizer), torch.load(stored, weights_only=True), strict=True):
            part.load_state_dict(state)
        _train(again, optimizer, stop, 20)
    assert all(torch.equal(tensor, again.state_dict()[key]) for key, tensor in model.state_dict().items())


def _end_of_masks(agent: str, *, taken_back: bool) -> dict[str, Tensor]:
    """The gated weights after six updates; ``taken_back``: the fourth is made twice, the first time for nothing."""
    model = small()
    schedule = create("mask_learning", {"agent": agent, "choices": 3, "evaluations": 6, "learning": 0.99})
    hook = next(schedule.run(_session(model))).hook
    assert hook is not None
    hook.begin(6)
    optimizer = torch.optim.SGD(model.train().parameters(), lr=0.05)
    for step in (0, 1, 2, 3, 4, 5):
        remaining = copy.deepcopy((model.state_dict(), hook.state_dict()))
        for again in range(2 if taken_back and step == 3 else 1):
            if again:
                model.load_state_dict(remaining[0])
                hook.begin(6)
                model.load_state_dict(remaining[0])
                hook.load_state_dict(remaining[1])
            inputs, labels = _BATCHES[step % 4]
            optimizer.zero_grad()
            functional.cross_entropy(model(inputs), labels).backward()
            hook.before_update(step)
            optimizer.step()
            hook.after_update(step)
    return model.state_dict()


@pytest.mark.long
@_every_agent
def test_rolled_back_training_repeats_the_same_steps(agent: str) -> None:
    undisturbed, taken_back = (_end_of_masks(agent, taken_back=back) for back in (False, True))
    assert bool((undisturbed["conv2.weight"] == 0).all(3).all(2).all(0).any()), "some units are closed"
    assert all(torch.equal(tensor, taken_back[name]) for name, tensor in undisturbed.items())


def test_evaluation_by_the_user_leaves_the_training_mode_unchanged() -> None:
    model = small().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    modes = []

    def evaluate(network: nn.Module) -> float:
        with torch.no_grad():
            outputs = network.eval()(_BATCHES[0][0])
        return -float(functional.cross_entropy(outputs, _BATCHES[0][1]))

    with _attach("policy", model, optimizer, evaluate=evaluate):
        for begin in range(20):
            _train(model, optimizer, begin, begin + 1)
            modes.append(model.training)
    assert all(modes)


def test_policy_without_a_reward_is_refused() -> None:
    session = _session()
    session.samples = None
    schedule = create("mask_learning", {"agent": "policy"})
    with pytest.raises(InputError, match=r"agent='policy' .*data="):
        schedule.check(session)
    session.evaluate = lambda _model: 0.0
    schedule.check(session)
    create("mask_learning", {"agent": "gates"}).check(_session())


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"agent": "gate"}, r"agent: got 'gate'.*'gates'.*'attention'.*'policy'"),
        ({"learning": 1.0}, r"learning: got 1\.0,.* 0 and .* 1$"),
        ({"choices": 0}, r"choices: got 0,.* 1$"),
        ({"reach": 0}, r"reach: got 0,.* 0$"),
        ({"evaluations": 1}, r"evaluations: got 1,.* 2$"),
    ],
)
def test_options_that_are_not_allowed_are_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        create("mask_learning", options)
