"""Random int8 files of one operator on pairs of elements, on matrices or with a reduction."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.backends.c.random_draw import Draw
from tests.tflite.tflite_files import FLOAT, INT32, File

_SAME_SCALE = ("MAXIMUM", "MINIMUM")


def _shapes(draw: Draw) -> list[list[int]]:
    """Return a shape, and one that is repeated along some of its dimensions."""
    full = [draw.size(2, 4) for _ in range(4)]
    return [full, [size if draw.one_of(True, False) else 1 for size in full]]


def binary(kind: str, options: Callable[..., Any]) -> Callable[[Draw], bytes]:
    def file_of(draw: Draw) -> bytes:
        shapes = _shapes(draw)
        full = shapes[0]
        if kind != "PRELU" and draw.one_of(True, False):
            shapes.reverse()
        file, steps = File(), draw.steps()
        same = kind in _SAME_SCALE
        first_steps = steps if same else draw.steps()
        if kind == "DIV":  # small quotients are not defined in the reference kernel
            first_steps["scale"] = 4.0
        x = file.tensor("x", shapes[0], **first_steps)
        second_steps = steps if same else draw.steps()
        if kind == "DIV":  # zero is not a divisor
            second_steps["zero_point"] = -128
        constant = kind in ("DIV", "PRELU") or (prod(shapes[1]) < prod(full) and draw.one_of(True, False))
        values = draw.rng.integers(-127, 128, shapes[1], dtype=np.int8)
        second = file.tensor("c", shapes[1], data=values if constant else None, **second_steps)
        y = file.tensor("y", full, **(steps if same else draw.steps()))
        activation = {} if same or kind == "PRELU" else {"fusedActivationFunction": draw.activation()}
        file.op(kind, [x, second], [y], options(**activation))
        return file.content([x] if constant else [x, second], [y])

    return file_of


def float_binary(kind: str, options: Callable[..., Any]) -> Callable[[Draw], bytes]:
    """Return a writer of files in which floats are computed from two int8 inputs."""

    def file_of(draw: Draw) -> bytes:
        full, part = _shapes(draw)
        file = File()
        x, z, y = (file.tensor(name, full, **draw.steps()) for name in "xzy")
        floats = [file.tensor(name, full, FLOAT) for name in ("xf", "zf", "sum", "yf")]
        constant = draw.rng.standard_normal(part).astype(np.float32)
        c = file.tensor("c", part, FLOAT, constant)
        file.op("DEQUANTIZE", [x], [floats[0]])
        file.op("DEQUANTIZE", [z], [floats[1]])
        activation = {} if kind in (*_SAME_SCALE, "PRELU") else {"fusedActivationFunction": draw.activation()}
        file.op(kind, [floats[0], c], [floats[2]], options(**activation))
        file.op("ADD", [floats[2], floats[1]], [floats[3]], schema.AddOptionsT())
        file.op("QUANTIZE", [floats[3]], [y])
        return file.content([x, z], [y])

    return file_of


def _reduced(draw: Draw, shape: list[int]) -> tuple[list[int], list[int], bool]:
    """Return axes, the shape of the result, and whether it keeps the dimensions."""
    axes = sorted(draw.rng.choice(4, draw.size(1, 2), replace=False).tolist())
    if draw.one_of(True, False, False):
        axes = [1, 2]
    keeps = draw.one_of(True, False)
    whole = [1 if axis in axes else size for axis, size in enumerate(shape)]
    return axes, whole if keeps else [size for axis, size in enumerate(whole) if axis not in axes], keeps


def reduction(kind: str) -> Callable[[Draw], bytes]:
    def file_of(draw: Draw) -> bytes:
        shape = [draw.size(1, 6) for _ in range(4)]
        axes, result, keeps = _reduced(draw, shape)
        file, steps = File(), draw.steps()
        x = file.tensor("x", shape, **steps)
        places = file.tensor("axes", (len(axes),), INT32, np.int32(axes))
        y = file.tensor("y", result, **(draw.steps() if kind == "MEAN" and draw.one_of(True, True, False) else steps))
        file.op(kind, [x, places], [y], schema.ReducerOptionsT(keepDims=keeps))
        return file.content([x], [y])

    return file_of


def float_reduction(kind: str) -> Callable[[Draw], bytes]:
    def file_of(draw: Draw) -> bytes:
        shape = [draw.size(1, 6) for _ in range(4)]
        axes, result, keeps = _reduced(draw, shape)
        file = File()
        x, y = file.tensor("x", shape, **draw.steps()), file.tensor("y", result, **draw.steps())
        floats = file.tensor("xf", shape, FLOAT), file.tensor("yf", result, FLOAT)
        places = file.tensor("axes", (len(axes),), INT32, np.int32(axes))
        file.op("DEQUANTIZE", [x], [floats[0]])
        file.op(kind, [floats[0], places], [floats[1]], schema.ReducerOptionsT(keepDims=keeps))
        file.op("QUANTIZE", [floats[1]], [y])
        return file.content([x], [y])

    return file_of


def matrix_product(draw: Draw) -> bytes:
    rows, columns, inner = (draw.size(1, 6) for _ in range(3))
    batches = [draw.size(1, 3) for _ in range(draw.size(1, 2))]
    adj_x, adj_y, repeats = draw.one_of(True, False), draw.one_of(True, False), draw.one_of(True, False)
    first = [*batches, *((inner, rows) if adj_x else (rows, inner))]
    second = [*([1] * len(batches) if repeats else batches), *((columns, inner) if adj_y else (inner, columns))]
    file = File()
    x, z = file.tensor("x", first, **draw.steps()), file.tensor("z", second, **draw.steps())
    y = file.tensor("y", [*batches, rows, columns], **draw.steps())
    file.op("BATCH_MATMUL", [x, z], [y], schema.BatchMatMulOptionsT(adjX=adj_x, adjY=adj_y))
    return file.content([x, z], [y])


PAIR_FILES: dict[str, Callable[[Draw], bytes]] = {
    "ADD": binary("ADD", schema.AddOptionsT),
    "BATCH_MATMUL": matrix_product,
    "DIV": binary("DIV", schema.DivOptionsT),
    "MAXIMUM": binary("MAXIMUM", schema.MaximumMinimumOptionsT),
    "MEAN": reduction("MEAN"),
    "MINIMUM": binary("MINIMUM", schema.MaximumMinimumOptionsT),
    "MUL": binary("MUL", schema.MulOptionsT),
    "PRELU": binary("PRELU", lambda: None),
    "REDUCE_MAX": reduction("REDUCE_MAX"),
    "REDUCE_MIN": reduction("REDUCE_MIN"),
    "SUB": binary("SUB", schema.SubOptionsT),
    "float ADD": float_binary("ADD", schema.AddOptionsT),
    "float DIV": float_binary("DIV", schema.DivOptionsT),
    "float MAXIMUM": float_binary("MAXIMUM", schema.MaximumMinimumOptionsT),
    "float MEAN": float_reduction("MEAN"),
    "float MINIMUM": float_binary("MINIMUM", schema.MaximumMinimumOptionsT),
    "float MUL": float_binary("MUL", schema.MulOptionsT),
    "float PRELU": float_binary("PRELU", lambda: None),
    "float REDUCE_MAX": float_reduction("REDUCE_MAX"),
    "float REDUCE_MIN": float_reduction("REDUCE_MIN"),
    "float SUB": float_binary("SUB", schema.SubOptionsT),
    "float SUM": float_reduction("SUM"),
}
"""Writers of files by operator; the ones of floats have it between DEQUANTIZE and QUANTIZE."""
