"""Operators that select and move elements, and those of old opsets whose numbers are attributes."""

from __future__ import annotations

import numpy as np

from tests.conformance.lowerings.base import Example, Maker
from tests.onnx_import.examples.base import example


@example("GatherElements")
def gather_elements(make: Maker) -> Example:
    x = make.values(2, 4, 3)
    return make.model("GatherElements", [x], [make.rng.integers(-4, 4, (2, 5, 3))], axis=1)


@example("GatherND")
def gather_places(make: Maker) -> Example:
    return make.model("GatherND", [make.values(2, 4, 3)], [make.rng.integers(0, 2, (5, make.draw.size(1, 3)))])


@example("ScatterElements")
def scatter_elements(make: Maker) -> Example:
    x = make.values(2, 4, 3)
    indices = np.stack([make.rng.permutation(4)[:2] for _ in range(6)]).reshape(2, 3, 2).transpose(0, 2, 1)
    return make.model("ScatterElements", [x], [np.ascontiguousarray(indices), make.values(2, 2, 3)], axis=1, opset=16)


@example("ScatterND")
def scatter_places(make: Maker) -> Example:
    indices = np.array([[1, 2], [0, 3]])
    return make.model("ScatterND", [make.values(2, 4, 3)], [indices, make.values(2, 3)], opset=16)


@example("Trilu")
def triangle(make: Maker) -> Example:
    diagonal = make.draw.one_of(None, np.array(make.draw.size(0, 2) - 1))
    return make.model("Trilu", [make.values(2, 4, 5)], [diagonal], upper=make.draw.size(0, 1))


@example("OneHot")
def one_hot(make: Maker) -> Example:
    values = np.array(make.draw.one_of([0, 1], [0.5, 2]), np.float32)
    indices = make.rng.integers(-4, 4, (2, 3))
    return make.model("OneHot", [indices], [np.array(4), values], axis=make.draw.one_of(-1, 1))


@example("ReduceLogSum", "ReduceLogSumExp")
def reduction(make: Maker, op: str) -> Example:
    x = make.tensor(least=2, low=0.5)
    return make.model(op, [x], axes=make.draw.one_of(None, [1], [0, 1]), keepdims=make.draw.size(0, 1))


@example("ReduceSum", "ReduceMean", "ReduceMax")
def reduction_with_attribute(make: Maker, op: str) -> Example:
    return make.model(op, [make.values(2, 3, 4)], opset=11, axes=make.draw.one_of([1], [-1, 1]))


@example("ReduceMean")
def reduction_with_input(make: Maker) -> Example:
    return make.model("ReduceMean", [make.values(2, 3, 4)], [np.array([1, -1])], opset=18)


@example("Slice")
def slice_with_attributes(make: Maker) -> Example:
    return make.model("Slice", [make.values(2, 5, 4)], opset=9, starts=[1, -3], ends=[9, -1], axes=[1, 2])


@example("Slice")
def slice_backwards(make: Maker) -> Example:
    numbers = [np.array([make.draw.one_of(-1, 3)]), np.array([make.draw.one_of(0, -(1 << 62))]), np.array([1])]
    return make.model("Slice", [make.values(2, 5, 4)], [*numbers, np.array([make.draw.one_of(-1, -2)])])


@example("Split")
def split_with_attribute(make: Maker) -> Example:
    return make.model("Split", [make.values(2, 5, 4)], opset=11, outputs=2, split=[2, 3], axis=1)


@example("Split")
def split_into_parts(make: Maker) -> Example:
    return make.model("Split", [make.values(2, 7, 4)], opset=18, outputs=3, num_outputs=3, axis=1)


@example("Pad")
def pad_with_attributes(make: Maker) -> Example:
    mode = make.draw.one_of("constant", "reflect", "edge")
    options = {"value": 0.5} if mode == "constant" else {}
    return make.model("Pad", [make.image()], opset=10, mode=mode, pads=[0, 0, 1, 2, 0, 0, 2, 0], **options)


@example("Pad")
def pad_axes(make: Maker) -> Example:
    """Mode wrap, and a list of axes."""
    mode = make.draw.one_of("constant", "wrap")
    return make.model("Pad", [make.image()], [np.array([1, 2, 2, 0]), None, np.array([3, -2])], opset=19, mode=mode)


@example("Clip")
def clip_with_attributes(make: Maker) -> Example:
    return make.model(
        "Clip", [make.tensor()], opset=6 + make.draw.size(1, 4), min=-0.5, max=make.draw.one_of(None, 0.7)
    )


@example("Squeeze", "Unsqueeze")
def axes_as_attribute(make: Maker, op: str) -> Example:
    return make.model(op, [make.values(2, 1, 3, 1)], opset=11, axes=make.draw.one_of([1], [1, 3]))


@example("TopK")
def largest(make: Maker) -> Example:
    """A sorted order of the largest or smallest values."""
    x = make.rng.permutation(24).reshape(2, 4, 3).astype(np.float32)
    return make.model("TopK", [x], [np.array([2])], outputs=2, axis=1, largest=make.draw.size(0, 1))


@example("Dropout")
def dropout(make: Maker) -> Example:
    return make.model("Dropout", [make.tensor()], opset=10, ratio=0.3)


@example("PRelu")
def slopes_of_places(make: Maker) -> Example:
    """Slopes that are not those of the channels."""
    x = make.image()
    return make.model("PRelu", [x], [make.values(1, 1, x.shape[3])])


@example("Gemm")
def gemm_of_sums(make: Maker) -> Example:
    """A matrix is added, or a factor is not one."""
    rows, columns = make.draw.size(1, 3), make.draw.size(2, 4)
    added = make.values(*make.draw.one_of((columns,), (rows, columns), (1, columns), (rows, 1)))
    options = {"alpha": make.draw.one_of(1.0, 0.5), "beta": make.draw.one_of(1.0, 2.0), "transB": make.draw.size(0, 1)}
    weight = make.values(columns, 3) if options["transB"] else make.values(3, columns)
    return make.model("Gemm", [make.values(rows, 3)], [weight, added], **options)
