"""Forwards that draw random numbers: noise, pooling at random places, and dropout of every kind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeprune import prune
from tests.networks.convolutional import Head

_CHANNELS = 8


class Network(nn.Module):
    """Two convolutions with ``middle`` between them; ``reads`` makes the forward depend on the number of channels."""

    def __init__(self, middle: Callable[[Tensor], Tensor], *, reads: bool = False) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(3, _CHANNELS, 3), nn.Conv2d(_CHANNELS, 6, 1), Head(6)
        self.middle = middle
        self.reads = reads

    def forward(self, x: Tensor) -> Tensor:
        x = self.middle(self.first(x))
        return self.head(self.second(x / x.shape[1] if self.reads else x))


@pytest.mark.parametrize(
    "middle",
    [
        lambda x: x + torch.randn(x.shape),
        lambda x: x + torch.randn_like(x),
        lambda x: x * torch.rand(x.shape[1])[:, None, None],
        lambda x: F.fractional_max_pool2d(x, 2, output_size=3),
        lambda x: F.fractional_max_pool2d(x[0], 2, output_size=3)[None],
        lambda x: F.fractional_max_pool3d(x[:, :, None].expand(-1, -1, 6, -1, -1), 2, output_size=3).mean(2),
    ],
    ids=["randn", "randn_like", "rand", "pool2d", "pool2d-unbatched", "pool3d"],
)
def test_what_draws_is_proved(middle: Callable[[Tensor], Tensor]) -> None:
    pruned = prune(Network(middle).eval(), (torch.randn(2, 3, 8, 8),), budget={"macs": 0.5}, criterion="random")
    assert pruned.model.first.out_channels < _CHANNELS  # type: ignore[union-attr]
    assert pruned.proof is not None
    assert pruned.proof.max_error < 1e-5


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("kind", [nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout])
def test_dropout_of_a_captured_program_drops_again(kind: type[nn.Dropout], in_place: bool) -> None:
    network = Network(kind(0.5, inplace=in_place), reads=True).eval()
    example = torch.randn(2, 3, 8, 8)
    model = prune(network, (example,), budget={"macs": 0.5}, criterion="random").model
    assert type(model).__name__ == "Captured"
    assert [type(module) for module in model.modules() if isinstance(module, nn.modules.dropout._DropoutNd)] == [kind]
    with torch.no_grad():
        assert torch.equal(model.eval()(example), model(example))
        assert not torch.equal(model.train()(example), model(example))
