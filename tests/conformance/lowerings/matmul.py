"""Matrix products."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests.conformance.lowerings.base import Example, Maker, assemble, example


@example("Gemm")
def gemm(make: Maker) -> Example:
    draw = make.draw
    rows, inner, columns = (draw.size(1, 6) for _ in range(3))
    swap = draw.size(0, 1), draw.size(0, 1)
    left = make.values(*((rows, inner)[::-1] if swap[0] else (rows, inner)))
    right = make.values(*((inner, columns)[::-1] if swap[1] else (inner, columns)))
    added = draw.one_of(None, (), (1,), (columns,), (1, columns), (rows, 1), (rows, columns))
    term = None if added is None else make.values(*added)
    inputs, constants = ([left, right], [term]) if draw.one_of(True, False) else ([left], [right, term])
    alpha, beta = draw.one_of(None, 0.5), draw.one_of(None, 2.0)
    return make.model("Gemm", inputs, constants, transA=swap[0], transB=swap[1], alpha=alpha, beta=beta)


@example("Gemm")
def of_a_flattened_image(make: Maker) -> Example:
    """Behind a convolution: the weights take up the order that the image is stored in."""
    x = make.image(3)
    inner = int(np.prod(x.shape[1:])) // 3 * 4
    weights = {"kernel": make.values(4, 3, 1, 1), "weights": make.values(5, inner), "bias": make.values(5)}
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["a"], "conv"),
        helper.make_node("Flatten", ["a"], ["b"], "flatten"),
        helper.make_node("Relu", ["b"], ["c"], "relu"),
        helper.make_node("Gemm", ["c", "weights", "bias"], ["y"], "gemm", transB=1),
    ]
    return Example(assemble(nodes, {"x": x}, ["y"], _initializers(weights)), {"x": x})


@example("MatMul")
def with_weights(make: Maker) -> Example:
    x = make.tensor(least=1)
    return make.model("MatMul", [x], [make.values(x.shape[-1], make.draw.size(1, 5))])


@example("MatMul")
def of_two(make: Maker) -> Example:
    draw = make.draw
    batch = tuple(draw.size(1, 3) for _ in range(draw.size(0, 2)))
    rows, inner, columns = (draw.size(1, 5) for _ in range(3))
    right = make.values(*batch[draw.size(0, len(batch)) :], inner, columns)
    left = make.values(*batch, rows, inner)
    inputs, constants = draw.one_of(([left, right], []), ([left], [right]))
    return make.model("MatMul", inputs, constants)


@example("MatMul")
def of_a_vector(make: Maker) -> Example:
    inner = make.draw.size(1, 5)
    vector, matrix = make.values(inner), make.values(2, inner, 3)
    inputs = make.draw.one_of([vector, matrix], [matrix.transpose(0, 2, 1), vector], [vector, vector])
    return make.model("MatMul", [np.ascontiguousarray(values) for values in inputs])


def _initializers(arrays: dict[str, np.ndarray]) -> list[onnx.TensorProto]:
    return [numpy_helper.from_array(values, name) for name, values in arrays.items()]


@example("Einsum")
def einsum(make: Maker) -> Example:
    equation = make.draw.one_of(
        "ij,jk->ik",
        "bhqd,bhkd->bhqk",
        "bchw,bdhw->bcd",
        "bij, bj -> bi",
        "ai,bi->ba",
        "bi,bo->boi",
        "bi,bi->bi",
        "ij,kl->ik",
        "ij,jk",
        "ij,jk,kl->il",
        "a,b,ab->",
        "ij,ij->",
        "iij,j->i",
    )
    return _einsum(make, equation, equation.replace(" ", "").partition("->")[0].split(","))


@example("Einsum")
def of_one_operand(make: Maker) -> Example:
    equation = make.draw.one_of("ijk->ki", "ij->", "bhw->b", "ii->i", "iji->j", "ba", "...ij->...ji", "...i->...")
    return _einsum(make, equation, equation.replace("...", "xy").partition("->")[0].split(","))


@example("Einsum")
def with_an_ellipsis(make: Maker) -> Example:
    equation, terms = make.draw.one_of(
        ("...ij,...jk->...ik", ["xyij", "xyjk"]),
        ("...ij,...jk->...ik", ["xyij", "zyjk"]),
        ("...ij,jk->...ik", ["xij", "jk"]),
        ("b...,b...->b...", ["bxy", "bxy"]),
        ("...i,...i", ["xi", "xi"]),
    )
    return _einsum(make, equation, terms)


def _einsum(make: Maker, equation: str, terms: Sequence[str]) -> Example:
    sizes = {letter: make.draw.size(1, 5) for term in terms for letter in term} | {"z": 1}
    operands = [make.values(*(sizes[letter] for letter in term)) for term in terms]
    constants = make.draw.one_of(0, len(operands) // 2)
    split = len(operands) - constants
    return make.model("Einsum", operands[:split], operands[split:], equation=equation)
