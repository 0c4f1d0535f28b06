"""Optimiser state follows the weights: training goes on after pruning as if what went had never been there."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adafactor, Adam, AdamW, Optimizer, Rprop
from torch.utils import _pytree as pytree

from edgeprune import prune
from edgeprune.errors import InputError
from edgeprune.graph import capture, shrink, units_of
from tests.networks.collection import make

_Maker = Callable[[Any], Optimizer]
_OPTIMISERS: dict[str, _Maker] = {
    "sgd": lambda parameters: SGD(parameters, lr=1e-2, momentum=0.9, weight_decay=1e-3),
    "adam": lambda parameters: Adam(parameters, lr=1e-3),
    "adamw-amsgrad": lambda parameters: AdamW(parameters, lr=1e-3, amsgrad=True),
    "adafactor": lambda parameters: Adafactor(parameters, lr=1e-3),
    "rprop": lambda parameters: Rprop(parameters, lr=1e-3),
}
_FORMS = {"zero-padded-residual": "module", "shared-convolution": "module", "hard-coded-sizes": "captured"}


def _train(network: nn.Module, optimiser: Optimizer, example: tuple[Tensor, ...], steps: int) -> Tensor:
    network.train()
    for _ in range(steps):
        optimiser.zero_grad()
        loss: Tensor = sum(leaf.square().mean() for leaf in pytree.tree_leaves(network(*example)))
        loss.backward()
        optimiser.step()
    return loss


def _sliced(remaining: Mapping[int, Tensor], tensor: Tensor) -> Tensor:
    """The kept indices of a tensor, taken by hand; a dimension of size 1 was summed up."""
    if not tensor.ndim:
        return tensor
    full = [remaining.get(dim, torch.arange(size)) % size for dim, size in enumerate(tensor.shape)]
    full = [index[:1] if size == 1 else index for index, size in zip(full, tensor.shape, strict=True)]
    return tensor[torch.meshgrid(*full, indexing="ij")]


@pytest.mark.long
@pytest.mark.parametrize("maker", _OPTIMISERS.values(), ids=_OPTIMISERS)
@pytest.mark.parametrize("name", _FORMS)
def test_optimizer_state_is_sliced_like_the_weights(name: str, maker: _Maker) -> None:
    network, example = make(name)
    optimiser = maker(network.parameters())
    loss = _train(network, optimiser, example, 2)
    parameters = dict(network.named_parameters())
    twin = copy.deepcopy(network)
    stored = copy.deepcopy({path: optimiser.state[parameter] for path, parameter in parameters.items()})
    grads = {path: parameter.grad.clone() for path, parameter in parameters.items() if parameter.grad is not None}
    assert any(value.ndim for state in stored.values() for value in state.values())

    pruned = prune(
        network, example, budget={"macs": 0.5}, options={"criterion": "random"}, copy=False, optimizer=optimiser
    )

    assert pruned.form == _FORMS[name]
    assert dict(pruned.model.named_parameters()).keys() == parameters.keys()
    for path, parameter in pruned.model.named_parameters():
        assert parameter is parameters[path]
        remaining = pruned.plan.kept_indices.get(path, {})
        torch.testing.assert_close(parameter.grad, _sliced(remaining, grads[path]), rtol=0, atol=0)
        assert optimiser.state[parameter].keys() == stored[path].keys()
        for key, value in stored[path].items():
            torch.testing.assert_close(optimiser.state[parameter][key], _sliced(remaining, value), rtol=0, atol=0)

    again = pruned.plan.apply(twin, example)
    fresh = maker(again.parameters())
    for path, parameter in again.named_parameters():
        remaining = pruned.plan.kept_indices.get(path, {})
        fresh.state[parameter] = {key: _sliced(remaining, value) for key, value in stored[path].items()}
    # The loss from before is still alive here, and with it what autograd recorded of the dense shapes.
    assert _train(pruned.model, optimiser, example, 3) == _train(again, fresh, example, 3)
    assert loss.grad_fn is not None
    for key, tensor in again.state_dict().items():
        assert torch.equal(tensor, pruned.model.state_dict()[key]), key


@pytest.mark.parametrize("maker", [_OPTIMISERS[key] for key in ("sgd", "adam", "adamw-amsgrad")])
@pytest.mark.parametrize("name", ["zero-padded-residual", "hard-coded-sizes"])
def test_training_equals_that_of_the_dense_network_with_zeros(name: str, maker: _Maker) -> None:
    network, example = make(name)
    # Adam blows rounding up where a gradient is zero, as that of a bias in front of BatchNorm.
    network, example = network.double(), tuple(tensor.double() for tensor in example)
    optimiser = maker(network.parameters())
    _train(network, optimiser, example, 2)
    dense = copy.deepcopy(network)
    masked = maker(dense.parameters())
    masked.load_state_dict(copy.deepcopy(optimiser.state_dict()))

    pruned = prune(
        network, example, budget={"macs": 0.5}, options={"criterion": "random"}, copy=False, optimizer=optimiser
    )
    for path, parameter in dense.named_parameters():
        for dim, index in pruned.plan.kept_indices.get(path, {}).items():
            removed = torch.ones(parameter.shape[dim], dtype=torch.bool)
            removed[index] = False
            for tensor in (parameter.data, *(value for value in masked.state[parameter].values() if value.ndim)):
                tensor.index_fill_(dim, removed.nonzero().flatten(), 0)

    got, want = _train(pruned.model, optimiser, example, 3), _train(dense, masked, example, 3)

    torch.testing.assert_close(got, want)
    for path, parameter in dense.named_parameters():
        small = dict(pruned.model.named_parameters())[path]
        torch.testing.assert_close(small.data, _sliced(pruned.plan.kept_indices.get(path, {}), parameter.data))


def test_a_plan_slices_the_optimiser_too() -> None:
    network, example = make("squeeze-and-excite")
    plan = prune(network, example, budget={"macs": 0.6}, options={"criterion": "random"}).plan
    optimiser = Adam(network.parameters(), lr=1e-3)
    _train(network, optimiser, example, 1)

    model = plan.apply(network, example, copy=False, optimizer=optimiser)

    assert model is network
    for parameter in model.parameters():
        assert optimiser.state[parameter]["exp_avg"].shape == parameter.shape
    assert math.isfinite(_train(model, optimiser, example, 2).item())


def test_pruning_twice_slices_twice() -> None:
    network, example = make("zero-padded-residual")
    optimiser = SGD(network.parameters(), lr=1e-3, momentum=0.9)
    for share in (0.8, 0.7):
        _train(network, optimiser, example, 1)
        network = prune(network, example, budget={"macs": share}, copy=False, optimizer=optimiser).model
    _train(network, optimiser, example, 1)
    assert all(optimiser.state[p]["momentum_buffer"].shape == p.shape for p in network.parameters())


def test_optimizer_without_steps_has_no_state_after_slicing() -> None:
    network, example = make("zero-padded-residual")
    optimiser = Adam(network.parameters())
    prune(network, example, budget={"macs": 0.6}, copy=False, optimizer=optimiser)
    assert not optimiser.state


def test_an_optimiser_cannot_follow_a_copy() -> None:
    network, example = make("zero-padded-residual")
    optimiser = SGD(network.parameters(), lr=1e-3, momentum=0.9)
    plan = prune(network, example, budget={"macs": 0.6}).plan
    units = units_of(capture(network, example))
    for call in (
        lambda: prune(network, example, budget={"macs": 0.6}, optimizer=optimiser),
        lambda: plan.apply(network, example, optimizer=optimiser),
        lambda: shrink(network, units, plan.removed(units), verify=False, optimizer=optimiser),
    ):
        with pytest.raises(InputError, match=r"SGD.*copy=True.*copy=False"):
            call()


def test_an_optimiser_of_another_network_is_refused() -> None:
    network, example = make("zero-padded-residual")
    other = Adam(make("zero-padded-residual")[0].parameters())
    with pytest.raises(InputError, match=r"Adam .*ZeroPaddedResidual"):
        prune(network, example, budget={"macs": 0.6}, copy=False, optimizer=other)


def test_state_that_cannot_be_sliced_is_refused_before_anything_changes() -> None:
    network, example = make("zero-padded-residual")
    optimiser = torch.optim.LBFGS(network.parameters(), lr=1e-3)

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = network(*example).square().mean()
        loss.backward()
        return loss

    optimiser.step(closure)
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(InputError, match="LBFGS keeps 'd'"):
        prune(network, example, budget={"macs": 0.6}, copy=False, optimizer=optimiser)
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
