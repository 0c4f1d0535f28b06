"""Elementwise operators, activations and constants."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.conformance.lowerings.base import Example, Maker, assemble
from tests.onnx_import.examples.base import example


@example("Asinh", "Atan", "Cosh", "Erf", "Sinh", "Softsign")
def anywhere(make: Maker, op: str) -> Example:
    return make.model(op, [make.tensor()], opset=22)


@example("Acos", "Asin", "Atanh", "Tan")
def inside_one(make: Maker, op: str) -> Example:
    return make.model(op, [np.tanh(make.tensor()) * np.float32(0.9)], opset=22)


@example("Acosh")
def above_one(make: Maker) -> Example:
    return make.model("Acosh", [make.tensor(low=1.5)], opset=22)


@example("Mish", "Swish", "ThresholdedRelu", "Shrink")
def activation(make: Maker, op: str) -> Example:
    alpha = make.draw.one_of(1.0, 0.5)
    attributes = {
        "Swish": {"alpha": alpha},
        "ThresholdedRelu": {"alpha": alpha},
        "Shrink": {"lambd": alpha, "bias": make.draw.one_of(0.0, 0.25)},
    }
    opset = 24 if op == "Swish" else 22
    return make.model(op, [make.tensor()], opset=opset, **attributes.get(op, {}))


@example("Sum", "Mean")
def several(make: Maker, op: str) -> Example:
    x = make.tensor(least=2)
    return make.model(op, [x, make.values(*x.shape), make.values(1, *x.shape[1:])])


@example("Mod")
def modulo(make: Maker) -> Example:
    x = make.tensor()
    if make.draw.one_of(True, False):
        return make.model("Mod", [x], [make.values(1, low=0.5)], fmod=1)
    return make.model("Mod", [(10 * x).astype(np.int64)], [np.array([make.draw.one_of(3, -4)])])


@example("Xor")
def exclusive_or(make: Maker) -> Example:
    x = make.tensor()
    return make.model("Xor", [x > 0, make.values(*x.shape) > 0])


@example("BitwiseNot")
def bitwise_not(make: Maker) -> Example:
    return make.model("BitwiseNot", [(9 * make.tensor()).astype(np.int32)], opset=18)


@example("IsInf")
def is_infinite(make: Maker) -> Example:
    x = make.tensor()
    x[x > 1], x[x < -1] = np.inf, -np.inf
    positive, negative = make.draw.one_of((1, 1), (1, 0), (0, 1))
    return make.model("IsInf", [x], detect_positive=positive, detect_negative=negative)


@example("CastLike")
def cast_like(make: Maker) -> Example:
    return make.model("CastLike", [5 * make.tensor()], [np.zeros(1, make.draw.one_of(np.int64, np.int32, np.bool_))])


def _added(make: Maker, nodes: list[onnx.NodeProto], *constants: onnx.TensorProto, opset: int = 17) -> Example:
    """A model that adds the value ``c`` to its input."""
    x = make.values(2, 3, 4)
    nodes = [*nodes, helper.make_node("Add", ["x", "c"], ["y"])]
    return Example(assemble(nodes, {"x": x}, ["y"], constants, opset), {"x": x})


@example("Constant")
def constant(make: Maker) -> Example:
    values = make.values(make.draw.one_of(1, 4))
    name, value = make.draw.one_of(
        ("value", numpy_helper.from_array(values)), ("value_floats", [*map(float, values)]), ("value_float", 0.5)
    )
    return _added(make, [helper.make_node("Constant", [], ["c"], **{name: value})])


@example("ConstantOfShape")
def constant_of_shape(make: Maker) -> Example:
    shape = numpy_helper.from_array(np.array([3, 4]), "shape")
    value = make.draw.one_of(None, helper.make_tensor("v", TensorProto.FLOAT, [1], [2.5]))
    options = {} if value is None else {"value": value}
    return _added(make, [helper.make_node("ConstantOfShape", ["shape"], ["c"], **options)], shape)


@example("Range")
def number_range(make: Maker) -> Example:
    numbers = {"a": 1, "b": 3, "s": 0.5}
    bounds = [numpy_helper.from_array(np.array(number, np.float32), name) for name, number in numbers.items()]
    return _added(make, [helper.make_node("Range", ["a", "b", "s"], ["c"])], *bounds)


@example("Shape", "Size")
def shape(make: Maker, op: str) -> Example:
    """The size of the tensor, added to it."""
    nodes = [helper.make_node(op, ["x"], ["s"]), helper.make_node("Cast", ["s"], ["f"], to=TensorProto.FLOAT)]
    nodes += [helper.make_node("ReduceSum", ["f"], ["c"], keepdims=0)] if op == "Shape" else []
    x = make.values(make.draw.size(1, 2), 3, 4)
    nodes.append(helper.make_node("Add", ["x", "c" if op == "Shape" else "f"], ["y"]))
    return Example(assemble(nodes, {"x": x}, ["y"]), {"x": x})
