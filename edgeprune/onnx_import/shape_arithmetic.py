"""Operators on shapes that depend on the batch. Other shapes are constants, which the importers of tensors fold."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeprune.onnx_import.network_builder import NetworkBuilder
from edgeprune.onnx_import.source_graph import SourceNode
from edgeprune.onnx_import.traced_values import Constant, Operand, Size, Sizes, Value, size_vector

Compute = Callable[[SourceNode, NetworkBuilder], Operand]


@dataclass(frozen=True)
class ShapeImporter:
    """Importer of an operator on shapes.

    Attributes:
        compute: Function that returns the result.
        first_is_shape: Whether the first input must be a shape; otherwise any input can be one.
    """

    compute: Compute
    first_is_shape: bool

    def applies(self, operands: Sequence[Operand]) -> bool:
        """Return whether the operator computes a shape of its inputs, not a tensor."""
        if any(isinstance(operand, Value) for operand in operands):
            return False
        shapes = [isinstance(operand, Sizes) for operand in operands]
        return shapes[0] if self.first_is_shape else any(shapes)


_importers: dict[str, ShapeImporter] = {}


def shape_importer(*ops: str, first_is_shape: bool = True) -> Callable[[Compute], Compute]:
    """Register the decorated function for the ONNX operators ``ops`` on shapes."""

    def add(function: Compute) -> Compute:
        for op in ops:
            assert op not in _importers, f"two importers for {op} on shapes"
            _importers[op] = ShapeImporter(function, first_is_shape)
        return function

    return add


def registered() -> Mapping[str, ShapeImporter]:
    """Return the importers of all operators on shapes, by operator."""
    return dict(sorted(_importers.items()))


def _array(net: NetworkBuilder, index: int) -> np.ndarray[Any, Any]:
    """Return an input of the node as an array of numbers and values, of rank 0 or 1."""
    operand = net.operand(net.node.inputs[index])
    if isinstance(operand, Sizes):
        items: list[Size] = list(operand.items)
        is_scalar = operand.is_scalar
    elif isinstance(operand, Constant) and operand.tensor.ndim < 2:
        items, is_scalar = [*operand.tensor.reshape(-1).tolist()], operand.tensor.ndim == 0
    else:
        raise net.node.unsupported("a tensor together with a shape", "an operator on shapes and constants")
    array = np.empty(len(items), object)
    array[:] = items
    return array.reshape(()) if is_scalar else array


def _operand(net: NetworkBuilder, array: np.ndarray[Any, Any]) -> Operand:
    if array.ndim > 1:
        raise net.node.unsupported("a shape of more than one dimension", "a list of sizes")
    return size_vector([*array.reshape(-1).tolist()], net.node.output(0), is_scalar=array.ndim == 0)


@shape_importer("Cast", "Identity")
def _copy(node: SourceNode, net: NetworkBuilder) -> Operand:
    return net.operand(node.inputs[0])


@shape_importer("Gather")
def _gather(node: SourceNode, net: NetworkBuilder) -> Operand:
    indices = net.needed_constant(1, "an index").tensor.numpy()
    return _operand(net, np.asarray(_array(net, 0)[indices], object))


@shape_importer("Concat", first_is_shape=False)
def _concat(node: SourceNode, net: NetworkBuilder) -> Operand:
    return _operand(net, np.concatenate([_array(net, index) for index in range(len(node.inputs))]))


@shape_importer("Slice")
def _slice(node: SourceNode, net: NetworkBuilder) -> Operand:
    starts, ends = net.numbers(1, "starts"), net.numbers(2, "ends")
    [step] = net.numbers(4, "steps") or [1]
    assert starts is not None
    assert ends is not None
    stop = None if step < 0 and ends[0] < -(1 << 31) else ends[0]
    return _operand(net, _array(net, 0)[starts[0] : stop : step])


@shape_importer("Squeeze", "Unsqueeze", "Reshape")
def _reshape(node: SourceNode, net: NetworkBuilder) -> Operand:
    array = _array(net, 0)
    if node.op == "Squeeze":
        return _operand(net, array.reshape(()))
    if node.op == "Unsqueeze":
        return _operand(net, array.reshape((1,) * (array.ndim + len(net.numbers(1, "axes") or []))))
    return _operand(net, array.reshape(net.numbers(1, "shape") or ()))


_ARITHMETIC: Mapping[str, Callable[..., Any]] = {
    "Add": operator.add,
    "Sub": operator.sub,
    "Mul": operator.mul,
    "Div": operator.floordiv,
    "Mod": operator.mod,
    "Max": max,
    "Min": min,
}
"""Functions of numbers; sizes are not negative, so that a division rounds down as in ONNX."""


@shape_importer(*_ARITHMETIC, first_is_shape=False)
def _arithmetic(node: SourceNode, net: NetworkBuilder) -> Operand:
    function = _ARITHMETIC[node.op]

    def compute(one: Any, other: Any) -> Any:
        if isinstance(one, Value) or isinstance(other, Value):
            return net.call(function, one, other)
        return function(one, other)

    result = _array(net, 0)
    for index in range(1, len(node.inputs)):
        result = np.frompyfunc(compute, 2, 1)(result, _array(net, index))
    return _operand(net, np.asarray(result, object))


@shape_importer("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", first_is_shape=False)
def _compare(node: SourceNode, net: NetworkBuilder) -> Operand:
    """Compare sizes. The result must be the same for every batch size, as the structure of the network follows it."""
    function = {
        "Equal": operator.eq,
        "Greater": operator.gt,
        "GreaterOrEqual": operator.ge,
        "Less": operator.lt,
        "LessOrEqual": operator.le,
    }[node.op]

    def compute(one: Any, other: Any) -> bool:
        result = net.call(function, one, other) if isinstance(one, Value) or isinstance(other, Value) else None
        if isinstance(result, Value):
            raise node.unsupported("a comparison that depends on the batch size", "independent of it")
        return bool(function(one, other) if result is None else result)

    return _operand(net, np.asarray(np.frompyfunc(compute, 2, 1)(_array(net, 0), _array(net, 1)), object))


@shape_importer("Where", first_is_shape=False)
def _where(node: SourceNode, net: NetworkBuilder) -> Operand:
    condition = net.needed_constant(0, "a condition").tensor.numpy()
    return _operand(net, np.where(condition, _array(net, 1), _array(net, 2)))


@shape_importer("ReduceProd")
def _product(node: SourceNode, net: NetworkBuilder) -> Operand:
    result: Any = 1
    for item in _array(net, 0).reshape(-1):
        result = (
            net.call(operator.mul, result, item)
            if isinstance(item, Value) or isinstance(result, Value)
            else result * item
        )
    return size_vector([result], node.output(0), is_scalar=not node.get("keepdims", 1))


@shape_importer("Shape")
def _rank(node: SourceNode, net: NetworkBuilder) -> Operand:
    return _operand(net, np.array([len(_array(net, 0))], object))
