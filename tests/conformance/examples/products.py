"""Linear layers, matrix products, attention, embeddings and recurrent layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.conformance.examples.base import Draw, Example, example, sequence


class _With(nn.Module):
    """``op`` on what comes in and parameters of the given shapes, called ``p0``, ``p1`` ..."""

    def __init__(self, op: Callable[..., Tensor], *shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.op = op
        for at, shape in enumerate(shapes):
            self.register_parameter(f"p{at}", nn.Parameter(torch.randn(shape)))

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x, *self.parameters())


@example("linear")
def _linear(draw: Draw) -> Example:
    features, out = draw.size(2, 8), draw.size(2, 8)
    layer = nn.Linear(features, out, bias=draw.one_of(True, False))
    return sequence(draw, layer, features, more={"op": out}, steps=draw.one_of(None, 5))


@example("linear")
def _linear_over_steps(draw: Draw) -> Example:
    """A layer over steps mixes none of the features."""
    features = draw.size(2, 8)
    op = _With(lambda x, w: F.linear(x.transpose(1, 2), w), (4, 5))
    return sequence(draw, op, features, more={"op": 0}, read="conv")


class _Bilinear(nn.Module):
    def __init__(self, features: int, out: int, *, bias: bool) -> None:
        super().__init__()
        self.other, self.layer = nn.Linear(features, 4), nn.Bilinear(features, 4, out, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x, self.other(x))


@example("bilinear")
def _bilinear(draw: Draw) -> Example:
    features, out = draw.size(2, 6), draw.size(2, 6)
    op = _Bilinear(features, out, bias=draw.one_of(True, False))
    more = {"op.layer": out, "op.other": 4}
    return sequence(draw, op, features, more=more, steps=draw.one_of(None, 5), counted=False)


@example("matmul")
def _matmul(draw: Draw) -> Example:
    features, out = draw.size(2, 8), draw.size(2, 8)
    return sequence(draw, _With(lambda x, w: x @ w, (features, out)), features, more={"op": out})


@example("matmul")
def _matmul_of_scores(draw: Draw) -> Example:
    """Attention written out by hand, heads first."""
    heads, width = draw.size(2, 4), draw.size(2, 4)

    def op(x: Tensor) -> Tensor:
        q = x.view(x.shape[0], x.shape[1], heads, width).transpose(1, 2)
        return ((q @ q.transpose(-1, -2)).softmax(-1) @ q).transpose(1, 2).flatten(2)

    return sequence(draw, op, heads * width, heads)


@example("matmul")
def _matmul_with_vectors(draw: Draw) -> Example:
    features = draw.size(2, 8)
    op = _With(lambda x, w: (x @ w).unsqueeze(-1) * x, (features,))
    return sequence(draw, op, features, counted=False)


class _Generated(nn.Module):
    """A product with weights that a layer generates, as in hypernetworks."""

    def __init__(self, features: int, out: int) -> None:
        super().__init__()
        self.weights, self.out = nn.Linear(features, out * features), out

    def forward(self, x: Tensor) -> Tensor:
        weights = self.weights(x).view(x.shape[0], self.out, -1)
        return torch.bmm(weights, x.unsqueeze(-1)).squeeze(-1)


@example("bmm")
def _product_with_generated_weights(draw: Draw) -> Example:
    features, out = draw.size(2, 6), draw.size(2, 4)
    return sequence(draw, _Generated(features, out), features, steps=None, more={"op": features})


@example("mm")
def _mm(draw: Draw) -> Example:
    features, out = draw.size(2, 8), draw.size(2, 8)
    return sequence(draw, _With(torch.mm, (features, out)), features, steps=None, more={"op": out})


@example("addmm")
def _addmm(draw: Draw) -> Example:
    features, out = draw.size(2, 8), draw.size(2, 8)
    op = _With(lambda x, b, w: torch.addmm(b, x, w), draw.one_of((out,), (1, out)), (features, out))
    return sequence(draw, op, features, steps=None, more={"op.p1": out})


@example("bmm")
def _bmm(draw: Draw) -> Example:
    """Products of features with features."""
    features = draw.size(2, 6)
    return sequence(draw, lambda x: torch.bmm(x.transpose(1, 2), x).sum(1), features)


@example("baddbmm")
def _baddbmm(draw: Draw) -> Example:
    features, out = draw.size(2, 6), draw.size(2, 6)
    op = _With(lambda x, b, w: torch.baddbmm(b, x, w.expand(x.shape[0], -1, -1)), (out,), (features, out))
    return sequence(draw, op, features, more={"op.p1": out})


@example("mv")
def _mv(draw: Draw) -> Example:
    features = draw.size(2, 8)
    op = _With(lambda x, w: torch.mv(x, w).unsqueeze(1) * x, (features,))
    return sequence(draw, op, features, steps=None, counted=False)


@example("dot", "vdot")
def _dot(draw: Draw) -> Example:
    features = draw.size(2, 8)
    op = _With(lambda x, w: torch.dot(x[0], w) * x + torch.ops.aten.vdot(w, x[1]), (features,))
    return sequence(draw, op, features, steps=None, counted=False)


@example("einsum")
def _einsum(draw: Draw) -> Example:
    features, out = draw.size(2, 8), draw.size(2, 8)
    equation = draw.one_of("btf,fo->bto", "btf, fo", "btf,fo->bot")
    op = _With(lambda x, w: torch.einsum(equation, x, w), (features, out))
    read = "linear" if equation.endswith("bto") else "conv"  # without an arrow, letters are in alphabetical order
    return sequence(draw, op, features, more={"op": out}, read=read, counted=False)


def _split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


class _Attention(nn.Module):
    def __init__(self, features: int, heads: int, groups: int, width: int, *, masked: bool, causal: bool) -> None:
        super().__init__()
        self.query = nn.Linear(features, heads * width)
        self.key, self.value = nn.Linear(features, groups * width), nn.Linear(features, groups * width)
        self.heads, self.groups, self.causal = heads, groups, causal
        self.bias = nn.Parameter(torch.randn(heads, 5, 5)) if masked else None

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            _split(self.query(x), self.heads),
            _split(self.key(x), self.groups),
            _split(self.value(x), self.groups),
        )
        grouped = self.heads != self.groups
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias, is_causal=self.causal, enable_gqa=grouped)
        return mixed.transpose(1, 2).flatten(2)


@example("scaled_dot_product_attention")
def _attention(draw: Draw) -> Example:
    features, groups, times, width = draw.size(2, 6), draw.size(2, 4), draw.size(1, 2), draw.size(2, 4)
    masked = draw.one_of(True, False)
    op = _Attention(features, groups * times, groups, width, masked=masked, causal=not masked)
    return sequence(draw, op, features, more={"op.query": groups, "op.value": groups}, counted=False)


class _Lookup(nn.Module):
    def __init__(self, entries: int, features: int) -> None:
        super().__init__()
        self.before, self.after = nn.Embedding(entries, features), nn.Linear(features, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.after(self.before(tokens))


@example("embedding")
def _embedding(draw: Draw) -> Example:
    entries, features = draw.size(3, 8), draw.size(2, 8)
    return Example(_Lookup(entries, features), (torch.randint(0, entries, (2, 5)),), {"before": features})


class _Recurrent(nn.Module):
    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[0]


_LAYERS: dict[str, Callable[..., nn.RNNBase]] = {
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "rnn_tanh": nn.RNN,
    "rnn_relu": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="relu", **options),
}
for _name, _layer in _LAYERS.items():

    @example(_name)
    def _recurrent(draw: Draw, layer: Callable[..., nn.RNNBase] = _layer) -> Example:
        features, hidden = draw.size(2, 6), draw.size(2, 6)
        own = layer(
            features,
            hidden,
            num_layers=draw.size(1, 2),
            bias=draw.one_of(True, False),
            batch_first=draw.one_of(True, False),
            bidirectional=draw.one_of(True, False),
        )
        return sequence(draw, _Recurrent(own), features, more={"op": hidden}, counted=False)


class _Steps(nn.Module):
    """A cell that is called for each step, from a state of zeros."""

    def __init__(self, cell: nn.RNNCellBase) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> Tensor:
        state: Any = x.new_zeros(x.shape[0], self.cell.hidden_size)
        state = (state, state) if isinstance(self.cell, nn.LSTMCell) else state
        for step in x.unbind(1):
            state = self.cell(step, state)
        return state[0] if isinstance(state, tuple) else state


_CELLS: dict[str, Callable[..., nn.RNNCellBase]] = {
    "lstm_cell": nn.LSTMCell,
    "gru_cell": nn.GRUCell,
    "rnn_tanh_cell": nn.RNNCell,
    "rnn_relu_cell": lambda *sizes, **options: nn.RNNCell(*sizes, nonlinearity="relu", **options),
}
for _name, _cell in _CELLS.items():

    @example(_name)
    def _recurrent_cell(draw: Draw, cell: Callable[..., nn.RNNCellBase] = _cell) -> Example:
        features, hidden = draw.size(2, 6), draw.size(2, 6)
        op = _Steps(cell(features, hidden, bias=draw.one_of(True, False)))
        return sequence(draw, op, features, more={"op": hidden}, steps=3)
