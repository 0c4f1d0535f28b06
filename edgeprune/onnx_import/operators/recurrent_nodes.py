"""Importers of recurrent layers: LSTM, GRU and RNN, in one or two directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edgeprune.onnx_import.batch_constants import expanded_to_batch
from edgeprune.onnx_import.network_builder import NetworkBuilder
from edgeprune.onnx_import.operators.base import importer
from edgeprune.onnx_import.reset_first_gru import ResetFirstGRU
from edgeprune.onnx_import.source_graph import SourceNode
from edgeprune.onnx_import.traced_values import Constant, Value

_GATES = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
"""Gates in the order of torch: input, forget, cell, output of LSTM; reset, update, new of GRU."""
_ACTIVATIONS = {"LSTM": ["sigmoid", "tanh", "tanh"], "GRU": ["sigmoid", "tanh"], "RNN": ["tanh"]}
_LAYERS: dict[str, Any] = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}


@importer(*_GATES)
def recurrent(node: SourceNode, net: NetworkBuilder) -> None:
    """Import a recurrent layer as a module of torch, or a GRU with ``linear_before_reset`` 0 as one of EdgePrune.

    ONNX has (steps, directions, batch, features) as its output.
    """
    value = net.value(0)
    activations = _checked(node, net, value)
    weights = [net.needed_constant(index, "a weight") for index in (1, 2)]
    bias = net.needed_constant(3, "a bias") if node.input(3) else None
    assert isinstance(value, Value)
    hidden, directions = int(node.get("hidden_size") or weights[1].shape[-1]), weights[0].shape[0]
    is_backward = node.get("direction", "forward") == "reverse"
    options = {"nonlinearity": activations[0]} if node.op == "RNN" else {}
    is_reset_first = node.op == "GRU" and not node.get("linear_before_reset", 0)
    layer = ResetFirstGRU if is_reset_first else _LAYERS[node.op]
    module = layer(value.shape[2], hidden, bias=bias is not None, bidirectional=directions == 2, **options)
    _set_weights(module, node.op, weights, bias)
    if is_backward:
        value = net.call(torch.flip, value, [0])
    states = _states(node, net)
    result = net.layer(module, [*weights, bias], value, *((states,) if states is not None else ()), key=str(module))
    outputs, last = net.item(result, 0), net.item(result, 1)
    if is_backward:
        outputs = net.call(torch.flip, outputs, [0])
    if net.is_read(node.output(0)):
        if directions > 1:
            outputs = net.call(torch.unflatten, outputs, 2, (directions, hidden))
            outputs = net.call(torch.permute, outputs, [0, 2, 1, 3])
        else:
            outputs = net.call(torch.unsqueeze, outputs, 1)
        net.write(outputs)
    if node.op == "LSTM":
        net.write(net.item(last, 0), 1)
        net.write(net.item(last, 1), 2)
    else:
        net.write(last, 1)


def _checked(node: SourceNode, net: NetworkBuilder, value: Value | Constant) -> list[str]:
    """Return the activations. Reject variants that the layers of torch do not have."""
    if isinstance(value, Constant):
        raise node.unsupported("a constant input", "applied to a computed tensor")
    directions = 2 if node.get("direction", "forward") == "bidirectional" else 1
    activations = [name.lower() for name in node.get("activations") or _ACTIVATIONS[node.op] * directions]
    expected = [_ACTIVATIONS[node.op]] if node.op != "RNN" else [["tanh"], ["relu"]]
    if activations not in [names * directions for names in expected]:
        raise node.unsupported(f"activations {', '.join(activations)}", f"{', '.join(expected[0])} in each direction")
    lengths = net.constant(4)
    if node.input(4) and (lengths is None or bool((lengths.tensor != value.shape[0]).any())):
        raise node.unsupported("lengths of sequences", "sequences of one length")
    if node.input(7) and not _is_zero(net.value(7), net):
        raise node.unsupported("peephole connections", "without them")
    for name in ("clip", "input_forget"):
        if node.get(name, 0):
            raise node.unsupported(f"{name} = {node.get(name)}", "without it")
    if node.get("layout", 0):
        raise node.unsupported("layout = 1", "the layout 0, with the steps first")
    return activations


def _set_weights(module: Any, op: str, weights: Sequence[Constant], bias: Constant | None) -> None:
    """Set the weights of each direction, with the gates in the order of torch."""
    for direction in range(weights[0].shape[0]):
        suffix = "_l0_reverse" if direction else "_l0"
        rows = [constant.tensor[direction] for constant in weights]
        if bias is not None:
            rows += bias.tensor[direction].chunk(2)
        for name, tensor in zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), rows, strict=False):
            setattr(module, name + suffix, nn.Parameter(_ordered(tensor, op)))


def _ordered(tensor: Tensor, op: str) -> Tensor:
    gates = tensor.chunk(len(_GATES[op]))
    return torch.cat([gates[index] for index in _GATES[op]]).clone()


def _states(node: SourceNode, net: NetworkBuilder) -> Any:
    """Return the initial states; None if they are zero, which torch creates for any batch size."""
    count = 2 if node.op == "LSTM" else 1
    states = [net.value(5 + index) if node.input(5 + index) else None for index in range(count)]
    if all(state is None or _is_zero(state, net) for state in states):
        return None
    if any(state is None for state in states):
        raise node.unsupported("only one of two initial states", "both of them or none")
    if net.has_free_batch:
        states = [expanded_to_batch(net, state, 1) if isinstance(state, Constant) else state for state in states]
    return tuple(states) if node.op == "LSTM" else states[0]


def _is_zero(value: Value | Constant, net: NetworkBuilder) -> bool:
    """Return whether a value is zero for all inputs."""
    if isinstance(value, Constant):
        return not bool(value.tensor.any())
    return net.is_independent(value) and not bool(value.lanes[0].any())
