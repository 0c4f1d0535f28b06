"""Every schedule brings a network within its budget, the same way whenever it is run."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import cycle, islice
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeprune import criteria, schedules, selection
from edgeprune.config import Budget
from edgeprune.model.registry import documentation, options_of
from edgeprune.schedules import Choice, ExternalLoop, LoopOptions, PruningSession, Schedule, create, registered
from edgeprune.selection import Plan
from edgeprune.statistics import Samples
from edgeprune.training.phase import Phase
from tests.schedules.driver import drive
from tests.schedules.tiny import IMAGE, small, split

_KINDS = ("l1", "elastic_net", "sparse_group_lasso", "growing", "l0")
_every_schedule = pytest.mark.parametrize("name", registered())
_every_way = pytest.mark.parametrize(
    "way", [*registered(), *(pytest.param(f"penalty kind={kind}", marks=pytest.mark.long) for kind in _KINDS)]
)
_EXAMPLE = (torch.zeros(2, *IMAGE),)
_STEPS = 40
_BUDGET = {"macs": 0.5}


@dataclass(frozen=True)
class Ended:
    """What a run has left."""

    plan: Plan
    state: dict[str, Tensor]
    model: nn.Module
    phases: list[Phase]


class Recorded(Schedule):
    """``schedule``, with its phases written down."""

    name = "recorded"

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.phases: list[Phase] = []

    def run(self, session: PruningSession) -> Iterator[Phase]:
        for phase in self.schedule.run(session):
            self.phases.append(phase)
            yield phase


def _made(way: str) -> Schedule:
    name, *options = way.split()
    return create(name, dict(option.split("=") for option in options))


def _run(way: str, seed: int = 3) -> Ended:
    data = split()
    session = PruningSession(
        small(),
        _EXAMPLE,
        Budget(**_BUDGET),
        Choice(criteria.create("l2"), selection.create("global"), ("recalibrate",)),
        samples=Samples.of(data, count=32, batch_size=16),
        seed=seed,
        rewind_weights=small(seed=1).state_dict(),
        initialize=lambda key: small(seed=key % 1000).state_dict(),
    )
    schedule = _made(way)
    schedule.check(session)
    recorded = Recorded(schedule)
    drive(recorded, session, data, _STEPS, batch_size=16)
    return Ended(session.plan({}), dict(session.model.state_dict()), session.model, recorded.phases)


_once = cache(_run)


@_every_way
def test_ends_within_the_budget_and_smaller(way: str) -> None:
    ended = _once(way)
    assert ended.plan.after.macs <= _BUDGET["macs"] * ended.plan.before.macs
    dense = small().state_dict()
    assert sum(tensor.numel() for tensor in ended.state.values()) < sum(tensor.numel() for tensor in dense.values())
    assert all(bool(tensor.isfinite().all()) for tensor in ended.state.values())


@_every_way
def test_phases_add_up_to_the_training(way: str) -> None:
    assert sum(phase.fraction for phase in _once(way).phases) == pytest.approx(1.0)


@pytest.mark.long
@_every_way
def test_same_seed_same_network(way: str) -> None:
    first = _once(way)
    torch.rand(7)  # what else was drawn makes no difference
    second = _run(way)
    assert first.plan.to_json() == second.plan.to_json()
    assert all(torch.equal(tensor, second.state[key]) for key, tensor in first.state.items())


@pytest.mark.long
@_every_way
def test_the_plan_replays_and_the_weights_fit(way: str) -> None:
    ended = _once(way)
    again = ended.plan.apply(small(seed=5), _EXAMPLE)
    again.load_state_dict(ended.state)
    images = next(split(seed=2).batches(8))[0]
    torch.testing.assert_close(again.eval()(images), ended.model.eval()(images))


@pytest.mark.long
@_every_way
def test_interrupted_loop_resumes_with_the_same_weights(way: str) -> None:
    batches = list(split().batches(16))

    def attach(model: nn.Module, optimizer: torch.optim.Optimizer) -> ExternalLoop:
        early = small(seed=1).state_dict()
        return _made(way).attach(
            model,
            _EXAMPLE,
            optimizer=optimizer,
            budget=_BUDGET,
            steps=_STEPS,
            data=batches,
            loop=LoopOptions(rewind_weights=early),
        )

    def train(model: nn.Module, optimizer: torch.optim.Optimizer, begin: int, end: int) -> None:
        for inputs, labels in islice(cycle(batches), begin, end):
            optimizer.zero_grad()
            functional.cross_entropy(model.train()(inputs), labels).backward()
            optimizer.step()

    def begin() -> tuple[nn.Module, torch.optim.Optimizer]:
        model = small()
        return model, torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    model, optimizer = begin()
    stop = _STEPS // 2 + 1
    with attach(model, optimizer) as pruning:
        train(model, optimizer, 0, stop)
        remaining = copy.deepcopy([part.state_dict() for part in (pruning, model, optimizer)])
        train(model, optimizer, stop, _STEPS)
    assert pruning.done
    assert pruning.plan.after.macs <= _BUDGET["macs"] * pruning.plan.before.macs

    again, optimizer = begin()
    with attach(again, optimizer) as pruning:
        for part, state in zip((pruning, again, optimizer), remaining, strict=True):
            part.load_state_dict(state)
        train(again, optimizer, stop, _STEPS)
    assert all(torch.equal(tensor, again.state_dict()[key]) for key, tensor in model.state_dict().items())


@pytest.mark.long
@_every_way
def test_loop_without_steps_ends_within_the_budget(way: str) -> None:
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    data = list(split().batches(16))
    early = small(seed=1).state_dict()
    with _made(way).attach(
        model,
        _EXAMPLE,
        optimizer=optimizer,
        budget=_BUDGET,
        steps=_STEPS,
        data=data,
        loop=LoopOptions(rewind_weights=early),
    ) as pruning:
        pass
    assert pruning.done
    assert pruning.plan.after.macs <= _BUDGET["macs"] * pruning.plan.before.macs
    assert model(_EXAMPLE[0]).shape == (2, 3)


@_every_schedule
def test_options_are_kept_under_their_names(name: str) -> None:
    kind = registered()[name]
    assert create(name).options == options_of(kind)


@_every_schedule
def test_is_documented(name: str) -> None:
    text: Any = documentation(registered()[name], Schedule)
    assert text.partition("\n")[0].strip()
    assert re.search(r"[(, ](19|20)\d\d\)", text), "no source is named"
    for option in options_of(registered()[name]):
        assert re.search(rf"``{option}``|^\s*{option}: ", text, re.MULTILINE), f"{option} is not explained"


@_every_schedule
def test_is_exported(name: str) -> None:
    kind = registered()[name]
    assert getattr(schedules, kind.__name__, None) is kind, "add it to edgeprune/schedules/__init__.py"
    assert kind.__name__ in schedules.__all__
