"""Operators that work element by element, and activations."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from tests.conformance.lowerings.base import Array, Example, Maker, example


@example(
    "Abs",
    "Ceil",
    "Cos",
    "Exp",
    "Floor",
    "Neg",
    "Round",
    "Sign",
    "Sin",
    "Relu",
    "Sigmoid",
    "Tanh",
    "HardSwish",
    "Identity",
    "Softplus",
    "Selu",
    "Softsign",
    "Atan",
    "Sinh",
    "Cosh",
    "Asinh",
)
def unary(make: Maker, op: str) -> Example:
    return make.model(op, [make.tensor()])


@example("Div")
def quotient_of_integers(make: Maker) -> Example:
    dtype = make.draw.one_of(np.int32, np.int64)
    dividend = (20 * make.tensor()).astype(dtype)
    return make.model("Div", [dividend], [np.array(make.draw.one_of(3, -7), dtype)])


@example("Sqrt", "Log", "Reciprocal")
def unary_of_positive(make: Maker, op: str) -> Example:
    return make.model(op, [make.tensor(low=0.1)])


@example("Mish")
def mish(make: Maker) -> Example:
    return make.model("Mish", [make.tensor()], opset=18)


@example("Erf")
def error_function(make: Maker) -> Example:
    return make.model("Erf", [3 * make.tensor()])


@example("Tan", "Asin", "Acos", "Atanh")
def of_the_unit_interval(make: Maker, op: str) -> Example:
    return make.model(op, [np.asarray(np.tanh(make.tensor()), np.float32)])


@example("Acosh")
def inverse_hyperbolic_cosine(make: Maker) -> Example:
    return make.model("Acosh", [make.tensor(low=1.1)])


@example("IsInf")
def is_inf(make: Maker) -> Example:
    x = make.tensor()
    x[x > 0.5], x[x < -0.5] = np.inf, -np.inf
    sides = {f"detect_{side}": make.draw.size(0, 1) for side in ("negative", "positive")}
    return make.model("IsInf", [x], **sides)


@example("Dropout")
def dropout(make: Maker) -> Example:
    return make.model("Dropout", [make.tensor()])


def _broadcast(make: Maker, x: Array) -> tuple[int, ...]:
    """The shape of something that broadcasts to ``x``, and may lack leading dimensions."""
    shape = tuple(make.draw.one_of(size, size, 1) for size in x.shape)
    return shape[make.draw.size(0, len(shape)) :]


@example("Add", "Sub", "Mul", "Div", "Max", "Min")
def binary(make: Maker, op: str) -> Example:
    x = make.tensor(least=2)
    other = make.values(*_broadcast(make, x), low=0.5)
    inputs, constants = make.draw.one_of(([x, other], []), ([other, x], []), ([x], [other]))
    return make.model(op, inputs, constants)


@example("Add", "Sub", "Mul", "Div")
def outer(make: Maker, op: str) -> Example:
    """Neither has the shape of the result."""
    sizes = [make.draw.size(2, 4) for _ in range(3)]
    return make.model(op, [make.values(2, sizes[0], 1, sizes[1]), make.values(sizes[2], 1, low=0.5)])


@example("Max", "Min")
def of_three(make: Maker, op: str) -> Example:
    x = make.tensor()
    return make.model(op, [x, make.values(*x.shape)], [make.values(x.shape[-1])])


@example("Add", "Mul", "Max")
def of_integers(make: Maker, op: str) -> Example:
    x = make.rng.integers(-9, 9, (make.draw.size(1, 4), 3)).astype(np.int32)
    return make.model(op, [x], [np.array([1, 2, 3], np.int32)])


@example("Pow")
def power(make: Maker) -> Example:
    if make.draw.one_of(True, False):
        exponent = make.draw.one_of(0.5, 1.0, 2.0, 3.0, 0.25, 0.75, 2.5, 1 / (2 + 1e-6), -0.5, -1.0, -2.0, 1.7, 5.0)
        x = make.tensor(low=0.0 if exponent > 0 else 0.3)
        return make.model("Pow", [x], [np.full(make.draw.one_of((), x.shape[-1:]), exponent, np.float32)])
    x = make.tensor(low=0.5)
    return make.model("Pow", [x, make.values(*_broadcast(make, x))])


@example("Clip")
def clip(make: Maker) -> Example:
    limits = make.draw.one_of((0, 6), (-1, 1), (0, None), (None, 0.5), (-0.3, 0.4), (None, None), (0, np.inf))
    constants = [None if limit is None else np.array(limit, np.float32) for limit in limits]
    return make.model("Clip", [3 * make.tensor()], constants)


@example("Sum", "Mean")
def of_many(make: Maker, op: str) -> Example:
    x = make.tensor()
    others = [make.values(*_broadcast(make, x)) for _ in range(make.draw.size(0, 2))]
    inputs, constants = make.draw.one_of(([x, *others], []), ([x], others))
    return make.model(op, inputs, constants)


@example("Mod")
def modulo(make: Maker) -> Example:
    x, fmod = 5 * make.tensor(), make.draw.size(0, 1)
    other = np.asarray(make.values(*_broadcast(make, x), low=0.5) * make.draw.one_of(1, -1), np.float32)
    if not fmod or make.draw.one_of(True, False):
        x, other = np.asarray(x, np.int32), np.asarray(np.ceil(np.abs(other)) * np.sign(other), np.int32)
    inputs, constants = make.draw.one_of(([x, other], []), ([x], [other]))
    return make.model("Mod", inputs, constants, fmod=fmod)


@example("Shrink")
def shrink(make: Maker) -> Example:
    limit = make.draw.one_of(None, 0.3)
    return make.model("Shrink", [make.tensor()], lambd=limit, bias=make.draw.one_of(None, 0.3, 0.5))


@example("ThresholdedRelu")
def thresholded_relu(make: Maker) -> Example:
    return make.model("ThresholdedRelu", [make.tensor()], alpha=make.draw.one_of(None, 0.2))


@example("LeakyRelu", "Elu", "Celu")
def with_alpha(make: Maker, op: str) -> Example:
    return make.model(op, [make.tensor()], alpha=make.draw.one_of(None, 1.0, 0.2, 1.5))


@example("PRelu")
def prelu(make: Maker) -> Example:
    x = make.tensor(least=2)
    slope = make.draw.one_of((1,), (x.shape[1], *(1,) * (x.ndim - 2)))
    return make.model("PRelu", [x], [make.values(*slope)])


@example("HardSigmoid")
def hard_sigmoid(make: Maker) -> Example:
    alpha, beta = make.draw.one_of((None, None), (1 / 6, 0.5), (0.3, 0.4))
    return make.model("HardSigmoid", [4 * make.tensor()], alpha=alpha, beta=beta)


@example("Gelu")
def gelu(make: Maker) -> Example:
    return make.model("Gelu", [make.tensor()], opset=20, approximate=make.draw.one_of(None, "none", "tanh"))


@example("Cast")
def cast(make: Maker) -> Example:
    to = make.draw.one_of(TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64)
    return make.model("Cast", [5 * make.tensor()], to=to)


@example("CastLike")
def cast_like(make: Maker) -> Example:
    return make.model("CastLike", [5 * make.tensor()], [np.zeros(1, make.draw.one_of(np.int32, np.int64))])


@example("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
def comparison(make: Maker, op: str) -> Example:
    x = np.round(make.tensor(least=2))
    other = np.asarray(np.round(make.values(*_broadcast(make, x))))
    inputs, constants = make.draw.one_of(([x, other], []), ([other, x], []), ([x], [other]))
    return make.model(op, inputs, constants, opset=18)


@example("And", "Or", "Xor")
def logical(make: Maker, op: str) -> Example:
    x = make.tensor(least=2) > 0
    other = np.asarray(make.values(*_broadcast(make, x)) > 0)
    inputs, constants = make.draw.one_of(([x, other], []), ([x], [other]))
    return make.model(op, inputs, constants)


@example("Not")
def negation(make: Maker) -> Example:
    return make.model("Not", [make.tensor() > 0])


@example("IsNaN")
def is_nan(make: Maker) -> Example:
    x = make.tensor()
    x[x > 0] = np.nan
    return make.model("IsNaN", [x])


@example("Where")
def where(make: Maker) -> Example:
    x = make.tensor(least=2)
    other = make.values(*_broadcast(make, x))
    condition = np.asarray(make.values(*_broadcast(make, x)) > 0)
    inputs, constants = make.draw.one_of(
        ([condition, x, other], []), ([condition, other, x], []), ([condition], [x, other])
    )
    return make.model("Where", inputs, constants)
