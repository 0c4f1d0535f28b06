"""Masks that are learned: what is of no use is closed, what costs more must give more, and rewards rise."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeprune import criteria, select
from edgeprune.config import Budget
from edgeprune.errors import InputError
from edgeprune.schedules import Attached, Choice, Session, create
from edgeprune.schedules._agent import group_of, means
from edgeprune.schedules._agent_attention import Attention
from edgeprune.schedules._agent_gates import LearnedGates
from edgeprune.schedules._agent_policy import Policy
from edgeprune.statistics import Samples
from tests.schedules.driver import drive
from tests.schedules.tiny import IMAGE, Small, small, split

_AGENTS = ("gates", "attention", "policy")
_EXAMPLE = (torch.zeros(2, *IMAGE),)
_BATCHES = list(split().batches(16))
_USELESS = [1, 4, 7, 10]


def _session(model: nn.Module | None = None, *, alpha: float = 1.0, seed: int = 0, **budget: float) -> Session:
    return Session(
        small() if model is None else model,
        _EXAMPLE,
        Budget(**(budget or {"macs": 0.5})),
        Choice(criteria.create("l2"), select.create("global", {"alpha": alpha})),
        samples=Samples.of(split(), count=64, batch_size=64),
        seed=seed,
    )


def _trained() -> Small:
    """A network that has learned, but for some units of ``conv1`` with large filters that nothing makes use of."""
    model = small()
    with torch.no_grad():
        model.conv1.weight[_USELESS] *= 4
        model.conv2.weight[:, _USELESS] = 0
    mask = (model.conv2.weight != 0).float()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for inputs, labels in islice(cycle(_BATCHES), 60):
        optimizer.zero_grad()
        functional.cross_entropy(model.train()(inputs), labels).backward()
        assert model.conv2.weight.grad is not None
        model.conv2.weight.grad *= mask
        optimizer.step()
    return model.eval()


@pytest.mark.parametrize("agent", ["gates", "attention"])
def test_useless_units_are_closed_whatever_the_criterion_says(agent: str) -> None:
    left = {}
    for reach in (1e-6, 4.0):
        session = _session(_trained(), macs=0.6)
        drive(create("mask_learning", {"agent": agent, "reach": reach}), session, split(), 200, lr=0.0, batch_size=16)
        left[reach] = set(session.kept()["conv2.weight"][1].tolist()) & set(_USELESS)
    assert len(left[1e-6]) >= 3, "the criterion alone takes them for the best"
    assert not left[4.0]
