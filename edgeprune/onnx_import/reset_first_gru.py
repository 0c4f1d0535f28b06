"""The GRU of the original paper, which ONNX computes unless ``linear_before_reset`` is 1."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class ResetFirstGRU(nn.Module):
    """GRU layer that multiplies the state by the reset gate before the recurrent product (Cho et al., 2014).

    ``nn.GRU`` multiplies the product instead: ``n = tanh(W x + b + r * (U h + c))``, while this layer computes
    ``n = tanh(W x + b + U (r * h) + c)``. Parameters have the names, the shapes and the order of gates (reset, update,
    new) of ``nn.GRU``. All sizes are read from them. The steps are unrolled.

    Args:
        input_size: Number of features of the input.
        hidden_size: Number of hidden units of each direction.
        bias: Whether the layer has biases.
        bidirectional: Whether a second direction reads the sequence from its end.
    """

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True, bidirectional: bool = False) -> None:
        super().__init__()
        self.suffixes = ("_l0", "_l0_reverse") if bidirectional else ("_l0",)
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (3 * hidden_size, input_size),
            "weight_hh": (3 * hidden_size, hidden_size),
        }
        if bias:
            shapes |= {"bias_ih": (3 * hidden_size,), "bias_hh": (3 * hidden_size,)}
        bound = 1 / math.sqrt(hidden_size)
        for suffix in self.suffixes:
            for name, shape in shapes.items():
                parameter = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
                self.register_parameter(f"{name}{suffix}", parameter)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run all steps.

        Args:
            x: Sequence (steps, batch, features).
            state: Initial state (directions, batch, hidden); None for zeros.

        Returns:
            The states of all steps (steps, batch, directions * hidden), and the last ones (directions, batch, hidden).
        """
        sequences, lasts = [], []
        for direction, suffix in enumerate(self.suffixes):
            initial = None if state is None else state[direction]
            states = self._states(x.flip(0) if direction else x, initial, suffix)
            lasts.append(states[-1])
            sequences.append(torch.stack(states[::-1] if direction else states))
        return torch.cat(sequences, -1), torch.stack(lasts)

    def extra_repr(self) -> str:
        rows, features = self.get_parameter("weight_ih_l0").shape
        bias, bidirectional = hasattr(self, "bias_ih_l0"), len(self.suffixes) > 1
        return f"{features}, {rows // 3}, bias={bias}, bidirectional={bidirectional}"

    def _states(self, x: Tensor, hidden: Tensor | None, suffix: str) -> list[Tensor]:
        """Return the states (batch, hidden) of one direction, in the order of ``x``."""
        of_input = getattr(self, f"weight_ih{suffix}")
        of_gates, of_new = _split(getattr(self, f"weight_hh{suffix}"))
        input_bias, state_bias = (getattr(self, f"bias_{name}{suffix}", None) for name in ("ih", "hh"))
        gates_bias, new_bias = (None, None) if state_bias is None else _split(state_bias)
        states: list[Tensor] = []
        for step in F.linear(x, of_input, input_bias).unbind(0):
            gates, new = _split(step, -1)
            if hidden is not None:
                gates = gates + F.linear(hidden, of_gates)
            if gates_bias is not None:
                gates = gates + gates_bias
            reset, update = gates.sigmoid().chunk(2, -1)
            if hidden is not None:
                new = new + F.linear(reset * hidden, of_new)
            if new_bias is not None:
                new = new + new_bias
            new = new.tanh()
            hidden = (1 - update) * new if hidden is None else new + update * (hidden - new)
            states.append(hidden)
        return states


def _split(tensor: Tensor, dim: int = 0) -> tuple[Tensor, Tensor]:
    """Return the parts of the gates reset and update, and of the new state."""
    size = tensor.shape[dim] // 3
    gates, new = torch.split(tensor, [2 * size, size], dim)
    return gates, new
