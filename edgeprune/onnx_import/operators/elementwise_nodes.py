"""Importers of elementwise operators on one tensor, or on tensors that broadcast."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import torch

from edgeprune.onnx_import.batch_constants import for_any_batch
from edgeprune.onnx_import.network_builder import NetworkBuilder
from edgeprune.onnx_import.operators.base import importer
from edgeprune.onnx_import.operators.trainable import number, trainable
from edgeprune.onnx_import.source_graph import SourceNode
from edgeprune.operator_facts.onnx_operators import ONNX

_UNARY: dict[str, Callable[..., Any]] = {
    "Abs": torch.abs,
    "Acos": torch.acos,
    "Acosh": torch.acosh,
    "Asin": torch.asin,
    "Asinh": torch.asinh,
    "Atan": torch.atan,
    "Atanh": torch.atanh,
    "BitwiseNot": torch.bitwise_not,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Cosh": torch.cosh,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "IsNaN": torch.isnan,
    "Log": torch.log,
    "Neg": torch.neg,
    "Not": torch.logical_not,
    "Reciprocal": torch.reciprocal,
    "Round": torch.round,
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Sinh": torch.sinh,
    "Sqrt": torch.sqrt,
    "Tan": torch.tan,
}
_BINARY: dict[str, Callable[..., Any]] = {
    "Add": torch.add,
    "And": torch.logical_and,
    "Div": torch.div,
    "Equal": torch.eq,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "Mul": torch.mul,
    "Or": torch.logical_or,
    "Sub": torch.sub,
    "Xor": torch.logical_xor,
}
_VARIADIC: dict[str, Callable[..., Any]] = {"Max": torch.maximum, "Min": torch.minimum, "Sum": torch.add}


@importer(*_UNARY)
def unary(node: SourceNode, net: NetworkBuilder) -> None:
    net.write(net.call(_UNARY[node.op], net.value(0)))


@importer(*_BINARY)
def binary(node: SourceNode, net: NetworkBuilder) -> None:
    """Import an operator on two tensors. Division of integers rounds toward zero."""
    one, other = for_any_batch(net, net.value(0), net.value(1))
    if node.op == "Div" and not one.dtype.is_floating_point:
        net.write(net.call(torch.div, one, other, rounding_mode="trunc"))
        return
    left_number, right_number = number(one, other), number(other, one)
    if right_number is not None:
        net.write(net.call(_BINARY[node.op], one, right_number))
    elif left_number is not None and ONNX[node.op].commutative:
        net.write(net.call(_BINARY[node.op], other, left_number))
    else:
        net.write(net.call(_BINARY[node.op], trainable(net, one, other), trainable(net, other, one)))


@importer(*_VARIADIC)
def variadic(node: SourceNode, net: NetworkBuilder) -> None:
    """Import an operator on any number of tensors as operators on two."""
    result = net.value(0)
    for index in range(1, len(node.inputs)):
        one, other = for_any_batch(net, result, net.value(index))
        result = net.call(_VARIADIC[node.op], one, other)
    net.write(result)


@importer("Mean")
def mean(node: SourceNode, net: NetworkBuilder) -> None:
    variadic_sum = net.value(0)
    for index in range(1, len(node.inputs)):
        variadic_sum = net.call(torch.add, *for_any_batch(net, variadic_sum, net.value(index)))
    net.write(net.call(torch.mul, variadic_sum, 1 / len(node.inputs)))


@importer("Pow")
def power(node: SourceNode, net: NetworkBuilder) -> None:
    base, exponent = for_any_batch(net, net.value(0), net.value(1))
    single = getattr(exponent, "tensor", None)
    if single is not None and single.numel() == 1 and single.ndim <= len(base.shape):
        net.write(net.call(torch.pow, base, single.item()))
        return
    result = net.call(torch.pow, base, exponent)
    net.write(result if result.dtype == base.dtype else net.call("to", result, base.dtype))


@importer("Mod")
def modulo(node: SourceNode, net: NetworkBuilder) -> None:
    function = torch.fmod if node.get("fmod", 0) else torch.remainder
    net.write(net.call(function, *for_any_batch(net, net.value(0), net.value(1))))


@importer("Where")
def where(node: SourceNode, net: NetworkBuilder) -> None:
    net.write(net.call(torch.where, *for_any_batch(net, net.value(0), net.value(1), net.value(2))))


@importer("IsInf")
def is_infinite(node: SourceNode, net: NetworkBuilder) -> None:
    """Import IsInf. With no sign to detect, the result is false everywhere."""
    positive, negative = (bool(node.get(f"detect_{sign}", 1)) for sign in ("positive", "negative"))
    functions = {(True, True): torch.isinf, (True, False): torch.isposinf, (False, True): torch.isneginf}
    function = functions.get((positive, negative))
    value = net.value(0)
    net.write(net.call(torch.lt, value, -inf) if function is None else net.call(function, value))
