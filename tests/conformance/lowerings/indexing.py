"""Gathers and scatters by lists of indices."""

from __future__ import annotations

import numpy as np

from tests.conformance.lowerings.base import Array, Example, Maker, example


def _data(make: Maker) -> Array:
    return make.values(*(make.draw.size(2, 5) for _ in range(make.draw.size(1, 4))))


def _model(
    make: Maker, op: str, data: Array, indices: Array, updates: Array | None = None, **options: object
) -> Example:
    """The indices are a constant, or an input."""
    indices = np.asarray(indices, np.int64)
    if make.draw.one_of(True, False) and updates is None:
        return make.model(op, [data, indices], **options)
    return make.model(op, [data], [indices, updates], opset=18, **options)


@example("GatherND")
def of_slices(make: Maker) -> Example:
    data = _data(make)
    batch = make.draw.size(0, min(2, data.ndim - 1))
    depth = make.draw.size(1, data.ndim - batch)
    count = make.draw.size(1, 4)
    columns = [make.rng.integers(-size, size, (*data.shape[:batch], count)) for size in data.shape[batch:][:depth]]
    return _model(make, "GatherND", data, np.stack(columns, -1), batch_dims=batch)


@example("GatherElements")
def of_elements(make: Maker) -> Example:
    data = _data(make)
    axis = make.draw.size(-data.ndim, data.ndim - 1)
    shape = [make.draw.size(1, size) for size in data.shape]
    return _model(
        make, "GatherElements", data, make.rng.integers(-data.shape[axis], data.shape[axis], shape), axis=axis
    )


@example("GatherElements")
def of_equal_lines(make: Maker) -> Example:
    data = make.values(3, 4, 5)
    line = np.array([3, 0, -1]).reshape(1, 3, 1)
    return _model(make, "GatherElements", data, np.broadcast_to(line, (3, 3, 5)), axis=1)


def _reduction(make: Maker) -> str | None:
    return make.draw.one_of(None, None, "add", "mul", "max", "min")


@example("ScatterND")
def slices(make: Maker) -> Example:
    data, reduction = _data(make), _reduction(make)
    depth = make.draw.size(1, data.ndim)
    outer = data.shape[:depth]
    rows = make.rng.permutation(int(np.prod(outer)))[: make.draw.size(1, 6)]
    if reduction is not None:
        rows = np.concatenate([rows, rows[:1]])
    indices = np.stack(np.unravel_index(rows, outer), -1) - make.draw.one_of(0, np.array(outer))
    updates = make.values(len(rows), *data.shape[depth:])
    if make.draw.one_of(True, False):
        return make.model("ScatterND", [data], [indices, updates], opset=18, reduction=reduction)
    if make.draw.one_of(True, False) and reduction in (None, "add"):
        return make.model("ScatterND", [data, indices, updates], opset=18, reduction=reduction)
    return make.model("ScatterND", [data], [indices, updates], opset=18, reduction=reduction)


@example("ScatterND")
def adjacent_slices(make: Maker) -> Example:
    first, count = make.draw.size(0, 3), make.draw.size(1, 3)
    indices = np.arange(first, first + count).reshape(-1, 1)
    return make.model("ScatterND", [make.values(6, 2, 3)], [indices, make.values(count, 2, 3)])


@example("ScatterElements")
def elements(make: Maker) -> Example:
    data, reduction = _data(make), _reduction(make)
    axis = make.draw.size(-data.ndim, data.ndim - 1)
    shape = [make.draw.size(1, size) for size in data.shape]
    indices = make.rng.random([*shape[:axis], data.shape[axis], *shape[axis:][1:]]).argsort(axis)
    indices = np.take(indices, np.arange(shape[axis]), axis) - make.draw.one_of(0, data.shape[axis])
    if reduction is not None:
        indices = np.zeros_like(indices)
    if make.draw.one_of(True, False) and reduction in (None, "add"):
        updates = make.values(*shape)
        return make.model("ScatterElements", [data, indices, updates], opset=18, axis=axis, reduction=reduction)
    return make.model(
        "ScatterElements", [data], [indices, make.values(*shape)], opset=18, axis=axis, reduction=reduction
    )


@example("ScatterElements")
def equal_lines(make: Maker) -> Example:
    line = np.array(make.draw.one_of([1], [0, -1], [2, 0])).reshape(1, -1, 1)
    indices = np.broadcast_to(line, (3, line.size, 5))
    return make.model("ScatterElements", [make.values(3, 4, 5)], [indices, make.values(*indices.shape)], axis=1)
