"""Attention, recurrence and tokens."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TokensAndPositions(nn.Module):
    """A class token, a table of positions, the fused encoder layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.positions = nn.Parameter(torch.randn(1, 5, 16))
        self.layer = nn.TransformerEncoderLayer(16, 4, 24, batch_first=True)
        self.last = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        return self.last(self.layer(x)[:, 0])


class FusedProjection(nn.Module):
    """One projection for queries, keys and values; a table of biases, one for each head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 16)
        self.qkv, self.out, self.last = nn.Linear(16, 48), nn.Linear(16, 16), nn.Linear(16, 3)
        self.table = nn.Parameter(torch.randn(9, 4))
        self.register_buffer("index", torch.randint(0, 9, (5, 5)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        n, t, c = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, 4, c // 4).permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q * 0.5) @ k.transpose(-2, -1) + self.table[self.index].permute(2, 0, 1)
        y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(n, t, c)
        return self.last(x + self.out(y)).mean(1)


class GroupedQueries(nn.Module):
    """Two heads of keys and values serve four of queries."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 16)
        self.q, self.k, self.v = nn.Linear(16, 16), nn.Linear(16, 8), nn.Linear(16, 8)
        self.out, self.norm, self.last = nn.Linear(16, 16), nn.RMSNorm(16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        n, t, _ = x.shape
        q, k, v = (part.view(n, t, -1, 4).transpose(1, 2) for part in (self.q(x), self.k(x), self.v(x)))
        y = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        return self.last(self.norm(x + self.out(y.transpose(1, 2).reshape(n, t, 16)))).mean(1)


class RepeatedKeys(nn.Module):
    """Keys and values repeated for their queries by hand, scores by einsum."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.kv, self.out = nn.Linear(6, 16), nn.Linear(6, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        q = self.q(x).view(n, t, 4, 4)
        k, v = (part.view(n, t, 2, 4).repeat_interleave(2, 2) for part in self.kv(x).split(8, -1))
        weights = torch.einsum("nthd,nshd->nhts", q, k).softmax(-1)
        return self.out(torch.einsum("nhts,nshd->nthd", weights, v).flatten(2)).mean(1)


class Lstm(nn.Module):
    """Two layers in both directions, behind a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 10)
        self.lstm = nn.LSTM(10, 8, num_layers=2, bidirectional=True, batch_first=True)
        self.last = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.lstm(self.embed(x))[0].mean(1))


class Gru(nn.Module):
    """Words looked up, one layer, its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.gru, self.last = nn.Embedding(11, 12), nn.GRU(12, 9, batch_first=True), nn.Linear(9, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.last(self.gru(self.words(tokens))[1][0])


class TiedEmbedding(nn.Module):
    """The table of words is also the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.hidden = nn.Embedding(11, 12), nn.Linear(12, 12)
        self.last = nn.Linear(12, 11, bias=False)
        self.last.weight = self.words.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.words(tokens)
        return self.last(x + F.gelu(self.hidden(x))).mean(1)
