"""Schedules around a training loop that is the user's own."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import re
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR, ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import edgeprune as ep
from edgeprune.errors import BudgetError, InputError
from edgeprune.schedules import ExternalLoop, LoopOptions, PruningSession, Schedule
from edgeprune.training.phase import Hook, Phase
from tests.schedules.tiny import IMAGE, small, split

_STEPS = 12
_EXAMPLE = (torch.zeros(2, *IMAGE),)


_BATCHES = list(split().batches(16))


def _sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)


def _adamw(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)


def _train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, begin: int = 0) -> Iterator[float]:
    """The user's loop: gives the loss of each step after its update."""
    for inputs, labels in islice(cycle(_BATCHES), begin, begin + steps):
        loss = functional.cross_entropy(model.train()(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


def _attach(schedule: Schedule, model: nn.Module, optimizer: torch.optim.Optimizer, **arguments: Any) -> ExternalLoop:
    if getattr(model, "fixed", False):
        arguments["options"] = {"exclude": ["conv1.bias"]}  # so that the width that the forward contains is pruned
    return schedule.attach(
        model, _EXAMPLE, optimizer=optimizer, **{"budget": {"macs": 0.5}, "steps": _STEPS, **arguments}
    )


class Midway(Schedule):
    """Prunes after half of the steps, and copies what is trained right before."""

    name = "midway"

    def run(self, session: PruningSession) -> Iterator[Phase]:
        yield Phase(fraction=0.5, rate=(0.0, 0.5))
        assert session.optimizer is not None
        self.dense = copy.deepcopy(session.model)
        self.held = copy.deepcopy(session.optimizer.state_dict())
        session.prune()
        yield Phase(fraction=0.5, rate=(0.5, 1.0))


@pytest.mark.long
@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("maker", [_sgd, _adamw])
def test_momentum_equals_that_of_zeroed_units(maker: Callable[[nn.Module], torch.optim.Optimizer], fixed: bool) -> None:
    model = small(norm=False, fixed=fixed)
    optimizer, schedule = maker(model), Midway()
    with _attach(schedule, model, optimizer, steps=10) as pruning:
        got = list(_train(model, optimizer, 10))
    assert pruning.done

    dense = schedule.dense
    masked = maker(dense)
    masked.load_state_dict(schedule.held)

    def hold() -> None:
        for name, parameter in dense.named_parameters():
            for dim, index in pruning.plan.kept_indices.get(name, {}).items():
                removed = torch.ones(parameter.shape[dim], dtype=torch.bool)
                removed[index] = False
                for tensor in (parameter.data, *(it for it in masked.state[parameter].values() if it.ndim)):
                    tensor.index_fill_(dim, removed.nonzero().flatten(), 0)

    hold()
    for expected, loss in zip(_train(dense, masked, 5, begin=5), got[5:], strict=True):
        hold()
        assert loss == pytest.approx(expected, abs=1e-4)
    for name, parameter in dense.named_parameters():
        want = parameter.detach()
        for dim, index in pruning.plan.kept_indices.get(name, {}).items():
            want = want.index_select(dim, index)
        torch.testing.assert_close(dict(model.named_parameters())[name].detach(), want, rtol=1e-4, atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("fixed", [False, True])
def test_pruning_keeps_model_and_optimizer_objects(fixed: bool) -> None:
    model = small(fixed=fixed)
    dense = copy.deepcopy(model)
    optimizer, parameters = _sgd(model), list(model.parameters())
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.5), use_buffers=True)
    sizes = []
    with _attach(
        ep.schedules.Iterative(rounds=3), model, optimizer, data=_BATCHES, loop=LoopOptions(ema=average)
    ) as pruning:
        losses = []
        for loss in _train(model, optimizer, _STEPS + 3):
            average.update_parameters(model)
            losses.append(loss)
            sizes.append(sum(parameter.numel() for parameter in model.parameters()))
    assert (pruning.step, pruning.done) == (_STEPS + 3, True)
    assert sizes[2] > sizes[3] == sizes[6] > sizes[7] == sizes[-1]
    assert losses[-1] < losses[0]
    assert all(one is other for one, other in zip(model.parameters(), parameters, strict=True))
    assert all(optimizer.state[one]["momentum_buffer"].shape == one.shape for one in parameters)

    assert (pruning.model is model) is not fixed
    images = _BATCHES[0][0]
    for network, twin in ((model, pruning.model), (average, model)):
        network.eval()
        twin.eval()
        assert network(images).shape == (16, 3)
        assert {key.removeprefix("module.") for key in network.state_dict()} - {"n_averaged"} == set(twin.state_dict())
    assert torch.equal(model(images), pruning.model(images))

    plan = pruning.plan
    assert plan.after.macs <= 0.5 * plan.before.macs
    assert plan.origin["schedule"] == {"name": "iterative", "rounds": 3, "path": "exponential", "power": 3.0}
    again = plan.apply(dense, _EXAMPLE)
    again.load_state_dict(model.state_dict())
    assert torch.allclose(again(images), model(images), atol=1e-6)


def test_captured_program_follows_the_network() -> None:
    model = small(fixed=True)
    optimizer = _sgd(model)
    with _attach(ep.schedules.OneShot(), model, optimizer) as pruning:
        images, before = _BATCHES[0][0], model.bn1.running_mean.clone()
        with torch.no_grad():
            evaluated = model.eval()(images)
            assert torch.equal(model.bn1.running_mean, before), "evaluation changes no statistics"
            model.train()
            model.bn1.eval()
            model(images)
            assert torch.equal(model.bn1.running_mean, before), "one layer alone can be in evaluation mode"
            assert not torch.equal(model.train()(images), evaluated)
            assert not torch.equal(model.bn1.running_mean, before)
        own = pruning.model.state_dict()
        assert all(torch.equal(tensor, own[name]) for name, tensor in model.state_dict().items())
        list(_train(model, optimizer, _STEPS))


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
def test_copy_of_a_captured_network_is_independent() -> None:
    model = small(fixed=True)
    with _attach(ep.schedules.OneShot(), model, _sgd(model), steps=1):
        list(_train(model, _sgd(model), 1))
    images = _BATCHES[0][0]
    twin = copy.deepcopy(model).eval()
    want = model.eval()(images)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert torch.equal(model(images), want)
    assert not bool(twin(images).any())


@pytest.mark.long
def test_leaving_early_prunes_without_the_steps_that_are_missing(caplog: pytest.LogCaptureFixture) -> None:
    model = small()
    optimizer = _sgd(model)
    with (
        caplog.at_level(logging.WARNING, "edgeprune"),
        _attach(ep.schedules.Iterative(rounds=4), model, optimizer) as pruning,
    ):
        list(_train(model, optimizer, 5))
    assert pruning.done
    assert pruning.plan.after.macs <= 0.5 * pruning.plan.before.macs
    assert re.search(r"iterative: .*\b5 of 12 steps", caplog.text)
    list(_train(model, optimizer, 2))
    assert pruning.step == 5, "the loop is the user's own again"


def test_exception_in_the_loop_prevents_pruning() -> None:
    model = small()
    optimizer = _sgd(model)
    with contextlib.suppress(KeyboardInterrupt), _attach(ep.schedules.Iterative(rounds=2), model, optimizer) as pruning:
        list(_train(model, optimizer, 2))
        state = copy.deepcopy(model.state_dict())
        raise KeyboardInterrupt
    assert not pruning.done
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    list(_train(model, optimizer, 9))
    assert model.state_dict()["conv1.weight"].shape == state["conv1.weight"].shape


def _rates(schedule: Schedule, curve: int, **options: Any) -> list[float]:
    model = small()
    optimizer = _sgd(model)
    scheduler = LambdaLR(optimizer, lambda step: 1 - step / curve)
    rates = []
    with _attach(schedule, model, optimizer, loop=LoopOptions(scheduler=scheduler), **options):
        for _ in range(_STEPS):
            next(_train(model, optimizer, 1))
            rates.append(optimizer.param_groups[0]["lr"] / 0.05)
            scheduler.step()
    return rates


@pytest.mark.long
def test_scheduler_restarts_with_every_phase() -> None:
    rates = _rates(ep.schedules.Iterative(rounds=3), 4)
    assert rates == pytest.approx([1, 0.75, 0.5, 0.25] * 3)
    assert _rates(Midway(), _STEPS) == pytest.approx([1 - step / _STEPS for step in range(_STEPS)])


def test_scheduler_is_advanced_to_the_start_of_a_partial_curve() -> None:
    rates = _rates(ep.schedules.LrRewinding(rewind=0.25, rounds=2), 8)
    assert rates == pytest.approx([1 - step / 8 for step in range(2, 8)] * 2)


def test_cycled_settings_of_a_scheduler_restart() -> None:
    model = small()
    optimizer = _sgd(model)
    scheduler = OneCycleLR(optimizer, 0.05, total_steps=_STEPS // 2 + 1)
    calls = []
    with _attach(ep.schedules.Iterative(rounds=2), model, optimizer, loop=LoopOptions(scheduler=scheduler)):
        for _ in _train(model, optimizer, _STEPS):
            calls.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
            scheduler.step()
    assert calls[: _STEPS // 2] == calls[_STEPS // 2 :]


def test_plateau_scheduler_restarts() -> None:
    model = small()
    optimizer = _sgd(model)
    scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    with _attach(ep.schedules.LrRewinding(rounds=2), model, optimizer, loop=LoopOptions(scheduler=scheduler)):
        for step, _ in enumerate(_train(model, optimizer, _STEPS)):
            if step == _STEPS // 2:
                assert optimizer.param_groups[0]["lr"] == 0.05
            scheduler.step(float(step))
    assert optimizer.param_groups[0]["lr"] < 0.05


_RESUMED = [
    ep.schedules.Iterative(rounds=3),
    ep.schedules.LotteryTicket(rounds=2, rewind=0.25),
    ep.schedules.AtInit(draws=2, proxy=0.5, criterion="random"),
    *(ep.schedules.Penalty(kind=kind) for kind in ("elastic_net", "sparse_group_lasso", "growing", "l0")),
    ep.schedules.VariationalDropout(),
]


@pytest.mark.long
@pytest.mark.parametrize("schedule", _RESUMED, ids=lambda schedule: schedule.name)
@pytest.mark.parametrize("stop", [4, 7])
def test_interrupted_loop_resumes_bit_for_bit(schedule: Schedule, stop: int) -> None:
    def attach(model: nn.Module, optimizer: torch.optim.Optimizer) -> ExternalLoop:
        return _attach(schedule, model, optimizer, data=_BATCHES)

    model = small()
    optimizer = _sgd(model)
    remaining = io.BytesIO()
    with attach(model, optimizer) as pruning:
        want = []
        for loss in _train(model, optimizer, _STEPS):
            want.append(loss)
            if pruning.step == stop:
                parts = {"model": model, "optimizer": optimizer, "pruning": pruning}
                torch.save({name: part.state_dict() for name, part in parts.items()}, remaining)

    remaining.seek(0)
    state = torch.load(remaining, weights_only=True)
    again = small()
    optimizer = _sgd(again)
    with attach(again, optimizer) as pruning:
        pruning.load_state_dict(state["pruning"])
        again.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        got = list(_train(again, optimizer, _STEPS - stop, begin=stop))

    assert got == want[stop:]
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_the_state_of_another_network_is_refused() -> None:
    model = small()
    optimizer = _sgd(model)
    with _attach(ep.schedules.Iterative(rounds=2), model, optimizer) as pruning:
        list(_train(model, optimizer, 8))
        state = pruning.state_dict()
        with pytest.raises(InputError, match=r"load_state_dict.*8"):
            pruning.load_state_dict(state)
        list(_train(model, optimizer, 4))
    other = small(seed=1)
    with (
        pytest.raises(InputError, match=r"load_state_dict: iterative "),
        _attach(ep.schedules.Iterative(rounds=2), other, _sgd(other)) as pruning,
    ):
        pruning.load_state_dict(state)


@pytest.mark.long
@pytest.mark.parametrize("fixed", [False, True])
def test_a_compiled_network_is_pruned(fixed: bool) -> None:
    model = small(fixed=fixed)
    compiled = torch.compile(model, backend="eager")
    optimizer = _sgd(model)
    with _attach(ep.schedules.Iterative(rounds=2), compiled, optimizer, options={"exclude": ["conv1.bias"]}) as pruning:
        losses = list(_train(compiled, optimizer, _STEPS))
    assert losses[-1] < losses[0]
    images = _BATCHES[0][0]
    torch.testing.assert_close(compiled.eval()(images), pruning.model.eval()(images))


class Watching(Schedule):
    """Writes down what a hook is told."""

    name = "watching"

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []

    def run(self, session: PruningSession) -> Iterator[Phase]:
        output = self.seen

        class Told(Hook):
            def begin(self, steps: int) -> None:
                output.append(("begin", steps))

            def before_update(self, step: int) -> None:
                assert session.model.get_parameter("stem.weight").grad is not None
                output.append(("before", step))

            def after_update(self, step: int) -> None:
                output.append(("after", step))

            def end(self) -> None:
                output.append(("end", 0))

        yield Phase(fraction=0.5, hook=Told())
        session.prune()
        yield Phase(fraction=0.5, reset_optimizer=True)
        assert session.optimizer is not None


def test_hooks_reach_into_every_update() -> None:
    model = small()
    optimizer, schedule = _sgd(model), Watching()
    with _attach(schedule, model, optimizer, steps=4):
        updates = _train(model, optimizer, 4)
        next(updates)
        next(updates)
        assert not optimizer.state, "momentum is forgotten"
        list(updates)
    assert schedule.seen == [
        ("begin", 2), ("before", 0), ("after", 0), ("before", 1), ("after", 1), ("end", 0),
    ]  # fmt: skip


def _refused(match: str, schedule: Schedule, **options: Any) -> None:
    model = small()
    optimizer = options.pop("optimizer", None) or _sgd(model)
    with pytest.raises(InputError, match=match), _attach(schedule, model, optimizer, **options):
        pytest.fail("a step would have been spent")


def test_missing_arguments_are_refused_before_the_first_step() -> None:
    _refused(r"at_init: draws=2 .*data=", ep.schedules.AtInit(draws=2))
    _refused(r"criterion: 'taylor' .*data", ep.schedules.OneShot(), options={"criterion": "taylor"})
    _refused(r"weight_rewinding .*rewind_weights=", ep.schedules.WeightRewinding())
    _refused(r"steps: got 0,.* 1$", ep.schedules.OneShot(), steps=0)
    _refused(r"steps: got 2, .* 3$", ep.schedules.Iterative(rounds=3), steps=2)
    _refused(r"SGD .* Small\b", ep.schedules.OneShot(), optimizer=_sgd(small()))


def test_early_weights_must_fit() -> None:
    early = small().state_dict()
    del early["linear.bias"]
    loop = LoopOptions(rewind_weights=early)
    _refused(r"rewind_weights: linear\.bias .*missing.*\(3,\)", ep.schedules.WeightRewinding(), loop=loop)
    early = small().state_dict()
    early["conv1.weight"] = early["conv1.weight"][:3]
    loop = LoopOptions(rewind_weights=early)
    _refused(r"conv1\.weight .*\(3, 8, 3, 3\).*\(12, ", ep.schedules.WeightRewinding(), loop=loop)


def test_unreachable_budget_is_refused_before_the_first_step() -> None:
    model = small()
    with pytest.raises(BudgetError), _attach(ep.schedules.OneShot(), model, _sgd(model), budget={"macs": 1e-4}):
        pytest.fail("a step would have been spent")


def test_unknown_option_is_refused_with_the_nearest() -> None:
    _refused(
        r"'criteron' in PruneOptions; did you mean 'criterion'", ep.schedules.OneShot(), options={"criteron": "l2"}
    )


def test_auto_means_one_selection_and_any_number_of_channels() -> None:
    model = small()
    with _attach(ep.schedules.OneShot(), model, _sgd(model), options=ep.PruneOptions(criterion="l2")) as pruning:
        pass
    explicit = small()
    options = ep.PruneOptions(criterion="l2", selection="global", align=1)
    with _attach(ep.schedules.OneShot(), explicit, _sgd(explicit), options=options) as expected:
        pass
    assert pruning.plan == expected.plan
    assert pruning.plan.origin["select"]["name"] == "global"
