"""Networks inside modules that run them in parallel, average or have compiled them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

import edgeprune as ep
from edgeprune.errors import ModelError
from edgeprune.model import network, weights
from edgeprune.model.module_wrappers import unwrap


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 4))


_EXAMPLE = (torch.zeros(1, 3, 8, 8),)
_WRAPPERS: list[Callable[[nn.Module], nn.Module]] = [
    nn.DataParallel,
    AveragedModel,
    partial(torch.compile, backend="eager"),
    lambda inner: torch.compile(nn.DataParallel(inner), backend="eager"),
    lambda inner: nn.DataParallel(torch.compile(inner, backend="eager")),
]


@pytest.mark.long
@pytest.mark.parametrize("wrap", _WRAPPERS)
def test_the_network_inside_is_pruned(wrap: Callable[[nn.Module], nn.Module]) -> None:
    inner = _network()
    wrapped = wrap(inner)
    plain = ep.prune(inner, _EXAMPLE, budget={"macs": 0.5})
    pruned = ep.prune(wrapped, _EXAMPLE, budget={"macs": 0.5})
    assert pruned.after == plain.after
    assert pruned.model.state_dict().keys() == inner.state_dict().keys()
    assert type(pruned.model) is nn.Sequential
    assert [len(group) for group in ep.groups(wrapped, _EXAMPLE)] == [len(one) for one in ep.groups(inner, _EXAMPLE)]
    applied = pruned.plan.apply(wrapped, _EXAMPLE)
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(applied.eval()(x), pruned.model.eval()(x))
    assert isinstance(network.build(lambda: wrap(_network())), nn.Sequential)


@pytest.mark.parametrize("wrap", _WRAPPERS)
def test_weights_of_a_wrapped_network_fit_the_network(wrap: Callable[[nn.Module], nn.Module]) -> None:
    source = wrap(_network())
    target = _network()
    for parameter in target.parameters():
        nn.init.zeros_(parameter)
    weights.fit(target, source.state_dict(), where="a test")
    assert torch.equal(target[0].weight, unwrap(source)[0].weight)


def test_a_part_that_is_wrapped_is_pruned() -> None:
    class Net(nn.Module):
        def __init__(self, features: nn.Module) -> None:
            super().__init__()
            self.features, self.head = features, nn.Linear(128, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.features(x))

    body = _network()[:5]
    pruned = ep.prune(Net(nn.DataParallel(body)), _EXAMPLE, budget={"macs": 0.5})
    assert pruned.after == ep.prune(Net(body), _EXAMPLE, budget={"macs": 0.5}).after
    weights.fit(Net(body), Net(nn.DataParallel(_network()[:5])).state_dict(), where="a test")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_quantized_networks_are_refused() -> None:
    from torch.ao import quantization

    prepared = _network().train()
    prepared.qconfig = quantization.get_default_qat_qconfig("fbgemm")
    quantized = quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 4)))
    for model in (quantization.prepare_qat(prepared).eval(), quantized):
        with pytest.raises(ModelError, match="float network"):
            ep.prune(model, _EXAMPLE, budget={"macs": 0.5})


def test_torchscript_is_refused() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = [torch.jit.script(_network()), torch.jit.trace(_network(), _EXAMPLE)]
    for model in (*scripted, nn.Sequential(scripted[0])):
        for call in (
            lambda model=model: ep.prune(model, _EXAMPLE, budget={"macs": 0.5}),
            lambda model=model: ep.groups(model, _EXAMPLE),
            lambda model=model: network.build(lambda: model),
        ):
            with pytest.raises(ModelError, match="TorchScript"):
                call()
