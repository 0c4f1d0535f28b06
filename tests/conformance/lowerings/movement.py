"""Shapes, parts and padding."""

from __future__ import annotations

from math import prod

import numpy as np

from tests.conformance.lowerings.base import Example, Maker, example


@example("Reshape")
def reshape(make: Maker) -> Example:
    draw = make.draw
    sizes = [draw.one_of(1, 2, 3, 4) for _ in range(4)]
    x = make.values(*(sizes[0] * sizes[1], *sizes[2:]) if draw.one_of(True, False) else sizes)
    shapes = [(prod(sizes),), (sizes[0], -1), (-1, sizes[3]), sizes, (1, *sizes[::-1]), (sizes[1], -1, sizes[2])]
    return make.model("Reshape", [x], [np.array(draw.one_of(*shapes), np.int64)])


@example("Flatten")
def flatten(make: Maker) -> Example:
    x = make.tensor()
    return make.model("Flatten", [x], axis=make.draw.size(-x.ndim, x.ndim))


@example("Transpose")
def transpose(make: Maker) -> Example:
    x = make.tensor(most=5)
    return make.model("Transpose", [x], perm=make.draw.one_of(None, make.draw.order(x.ndim).tolist()))


@example("Squeeze")
def squeeze(make: Maker) -> Example:
    axes = make.draw.one_of(None, np.array([1]), np.array([1, -1]))
    return make.model("Squeeze", [make.values(2, 1, 3, 1)], [axes])


@example("Unsqueeze")
def unsqueeze(make: Maker) -> Example:
    return make.model("Unsqueeze", [make.tensor(most=3)], [make.draw.one_of(np.array([0]), np.array([1, -1]))])


@example("Slice")
def slice_(make: Maker) -> Example:
    draw = make.draw
    x = make.values(*(draw.size(2, 6) for _ in range(draw.size(1, 4))))
    axes = [axis for axis in range(x.ndim) if draw.one_of(True, False)] or [0]
    bounds = []
    for axis in axes:
        size, step = x.shape[axis], draw.one_of(1, 1, 2, 3, -1, -2)
        first, last = draw.size(0, size - 1), draw.size(0, size - 1)
        low, high = min(first, last), max(first, last)
        bounds.append((low, high + 1, step) if step > 0 else (high, low - 1 if low else -(10**6), step))
    starts, ends, steps = (np.array(column, np.int64) for column in zip(*bounds, strict=True))
    inputs = np.array([axis - x.ndim if draw.one_of(True, False) else axis for axis in axes], np.int64)
    return make.model("Slice", [x], [starts, ends, inputs, steps])


@example("Split")
def split(make: Maker) -> Example:
    parts = [make.draw.size(1, 3) for _ in range(make.draw.size(2, 3))]
    if make.draw.one_of(True, False):
        parts = [parts[0]] * len(parts)
    x = make.values(2, sum(parts), 3, 2)
    return make.model("Split", [x], [np.array(parts, np.int64)], outputs=len(parts), axis=make.draw.one_of(1, -3))


@example("Concat")
def concat(make: Maker) -> Example:
    shapes = [(2, make.draw.size(1, 4), 3, 4) for _ in range(3)]
    inputs, constant = [make.values(*shape) for shape in shapes[:2]], make.values(*shapes[2])
    return make.model("Concat", inputs, make.draw.one_of([], [constant]), axis=make.draw.one_of(1, -3))


@example("Gather")
def gather(make: Maker) -> Example:
    x = make.values(*(make.draw.size(2, 5) for _ in range(make.draw.size(1, 4))))
    axis = make.draw.size(-x.ndim, x.ndim - 1)
    shape = make.draw.one_of((), (1,), (3,), (2, 2))
    indices = make.rng.integers(-x.shape[axis], x.shape[axis], shape)
    return make.model("Gather", [x], [np.asarray(indices, np.int64)], axis=axis)


@example("Gather")
def by_computed_indices(make: Maker) -> Example:
    indices = make.rng.integers(0, 5, (2, 3)).astype(make.draw.one_of(np.int32, np.int64))
    return make.model("Gather", [make.values(5, 4), indices])


@example("Pad")
def pad(make: Maker) -> Example:
    draw = make.draw
    x = make.values(*(draw.size(3, 5) for _ in range(draw.size(1, 4))))
    mode = draw.one_of("constant", "constant", "reflect", "edge")
    least = -1 if mode == "constant" else 0
    pads = np.array([draw.size(least, 2) for _ in range(2 * x.ndim)], np.int64)
    value = draw.one_of(None, np.array(0.5, np.float32)) if mode == "constant" else None
    return make.model("Pad", [x], [pads, value], mode=mode)


@example("Pad")
def along_some_dimensions(make: Maker) -> Example:
    axes = make.draw.one_of(np.array([1]), np.array([-1]))
    mode = make.draw.one_of("constant", "wrap")
    return make.model("Pad", [make.image()], [np.array([1, 2]), None, axes], opset=19, mode=mode)


@example("Expand")
def expand(make: Maker) -> Example:
    shape = [make.draw.size(1, 4) for _ in range(make.draw.size(1, 4))]
    x = make.values(*(make.draw.one_of(size, 1) for size in shape[make.draw.size(0, len(shape) - 1) :]))
    return make.model("Expand", [x], [np.array(shape, np.int64)])


@example("Tile")
def tile(make: Maker) -> Example:
    x = make.tensor()
    return make.model("Tile", [x], [np.array([make.draw.size(1, 3) for _ in x.shape], np.int64)])


@example("TopK")
def largest(make: Maker) -> Example:
    x = make.tensor()
    axis = make.draw.size(-x.ndim, x.ndim - 1)
    count = make.draw.size(1, x.shape[axis])
    return make.model("TopK", [x], [np.array([count], np.int64)], outputs=2, axis=axis, largest=make.draw.size(0, 1))


@example("Trilu")
def triangle(make: Maker) -> Example:
    x = make.tensor(least=2)
    values = make.draw.one_of(x, np.asarray(9 * x, np.int32), np.asarray(x > 0))
    diagonal = make.draw.one_of(None, np.array(make.draw.size(-2, 2), np.int64))
    return make.model("Trilu", [values], [diagonal], upper=make.draw.one_of(None, 0, 1))


@example("OneHot")
def one_hot(make: Maker) -> Example:
    depth = make.draw.size(2, 4)
    indices = make.rng.integers(-depth - 1, depth + 1, [make.draw.size(1, 3) for _ in range(make.draw.size(1, 3))])
    values = make.draw.one_of(np.array([0, 1], np.float32), np.array([-0.5, 2], np.float32), np.array([3, 1]))
    axis = make.draw.size(-indices.ndim - 1, indices.ndim)
    return make.model("OneHot", [indices], [np.array(depth, np.int64), values], axis=axis)
