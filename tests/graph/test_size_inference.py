"""Modules whose forwards read sizes from attributes: the attributes follow, and the module remains itself."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import edgeprune as ep


class Attention(nn.Module):
    """Self-attention that takes the number of heads from an attribute; ``window`` is equal to it by chance."""

    def __init__(self, dim: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.num_heads, self.window, self.head_dim = heads, heads, dim // heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        q = q.view(n, self.num_heads, t // self.window, self.window, self.head_dim).flatten(2, 3)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, self.num_heads * self.head_dim)
        out: Tensor = self.proj(y)
        return out


class Branches(nn.Module):
    """Block with a list of widths, as in Res2Net."""

    def __init__(self) -> None:
        super().__init__()
        self.widths = [4, 8, 4]
        self.enter = nn.Conv2d(8, 16, 1)
        self.convs = nn.ModuleList(nn.Conv2d(width, 8, 3, padding=1) for width in self.widths)

    def forward(self, x: Tensor) -> Tensor:
        parts = torch.split(self.enter(x), self.widths, 1)
        return torch.stack([conv(part) for conv, part in zip(self.convs, parts, strict=True)]).sum(0)


class Gates(nn.Module):
    """Block that splits its features into parts of one size, as cells of a ConvLSTM do."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.width = width
        self.enter, self.leave = nn.Conv2d(3, 3 * width, 3), nn.Conv2d(width, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        opened, passed, added = torch.split(self.enter(x), self.width, 1)
        y: Tensor = self.leave(torch.sigmoid(opened) * passed + added)
        return y


class WidthFactor(nn.Module):
    """The attribute is also a factor: with the new size, the forward runs, but returns other values."""

    def __init__(self) -> None:
        super().__init__()
        self.width = 16
        self.enter, self.leave = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.leave(self.enter(x).view(-1, self.width) / self.width)
        return y


def prune(network: nn.Module, x: Tensor, *, copy: bool = True, exclude: tuple[str, ...] = ()) -> ep.PruneResult:
    options = {"attention": "heads", "exclude": exclude}
    return ep.prune(network.eval(), (x,), budget={"macs": 0.6}, copy=copy, options=options)


@pytest.mark.parametrize("copy", [True, False])
def test_number_of_heads_follows_and_an_equal_attribute_does_not(copy: bool) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, 32), Attention(), nn.Linear(32, 8))
    pruned = prune(network, torch.randn(2, 8, 8), copy=copy, exclude=("0", "2"))
    attention = pruned.model[1]  # type: ignore[index]
    assert pruned.form == "module"
    assert isinstance(attention, Attention)
    assert (attention.num_heads, attention.window) == (attention.qkv.out_features // 24, 4)
    assert attention.num_heads < 4
    assert pruned.model(torch.randn(3, 12, 8)).shape == (3, 12, 8)  # at another length


def test_list_of_split_sizes_follows() -> None:
    torch.manual_seed(0)
    pruned = prune(nn.Sequential(Branches(), nn.Conv2d(8, 4, 1)), torch.randn(2, 8, 6, 6))
    branches = pruned.model[0]  # type: ignore[index]
    assert pruned.form == "module"
    assert isinstance(branches, Branches)
    assert branches.widths == [conv.in_channels for conv in branches.convs]  # type: ignore[union-attr]
    assert branches.widths != [4, 8, 4]


def test_size_of_equal_parts_follows() -> None:
    torch.manual_seed(0)
    pruned = prune(Gates(), torch.randn(2, 3, 6, 6))
    assert pruned.form == "module"
    assert isinstance(pruned.model, Gates)
    assert pruned.model.width == pruned.model.leave.in_channels < 8


@pytest.mark.parametrize("copy", [True, False])
def test_attribute_that_changes_outputs_keeps_its_value(copy: bool) -> None:
    torch.manual_seed(0)
    network = WidthFactor()
    pruned = prune(network, torch.randn(2, 8), copy=copy)
    assert pruned.form == "captured"
    assert network.width == 16
