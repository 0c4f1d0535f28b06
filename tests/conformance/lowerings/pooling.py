"""Pooling and resizing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import assume

from tests.conformance.lowerings.base import Example, Maker, example


def _windows(make: Maker, rank: int) -> dict[str, Any]:
    draw = make.draw
    kernel = [draw.size(1, 4) for _ in range(rank)]
    padding: dict[str, Any] = {"pads": [draw.size(0, taps // 2) for _ in range(2) for taps in kernel]}
    if draw.one_of(False, False, True):
        padding = {"auto_pad": draw.one_of("SAME_UPPER", "SAME_LOWER", "VALID")}
    strides = [draw.size(1, 3) for _ in range(rank)]
    if "auto_pad" in padding:  # ONNX Runtime refuses windows that leave gaps
        strides = [min(step, taps) for step, taps in zip(strides, kernel, strict=True)]
    return {"kernel_shape": kernel, "strides": strides, "ceil_mode": draw.size(0, 1), **padding}


@example("MaxPool", "AveragePool")
def pool(make: Maker, op: str) -> Example:
    rank = make.draw.size(1, 3)
    x = (make.signal, make.image, make.volume)[rank - 1]()
    windows = _windows(make, rank)
    if op == "AveragePool":
        windows["count_include_pad"] = make.draw.size(0, 1)
    if windows["ceil_mode"]:
        starts = _last_starts(x.shape[2:], windows)
        assume("pads" in windows and all(start < size for start, size in starts))
    return make.model(op, [x], opset=19, **windows)


def _last_starts(sizes: Sequence[int], windows: Mapping[str, Any]) -> Iterator[tuple[int, int]]:
    """Where the last window starts that shape inference counts, and where windows may not start any more."""
    rank = len(sizes)
    for index, size in enumerate(sizes):
        taps, step = windows["kernel_shape"][index], windows["strides"][index]
        before, after = windows["pads"][index], windows["pads"][rank + index]
        yield -(-(size + before + after - taps) // step) * step, size + before


@example("MaxPool")
def padded_by_more_than_half_a_window(make: Maker) -> Example:
    return make.model("MaxPool", [make.image()], kernel_shape=[3, 3], pads=[2, 2, 2, 2], strides=[2, 1])


@example("GlobalAveragePool", "GlobalMaxPool")
def whole(make: Maker, op: str) -> Example:
    return make.model(op, [make.draw.one_of(make.image, make.signal, make.volume)()])


@example("Resize")
def to_sizes(make: Maker) -> Example:
    draw = make.draw
    x = draw.one_of(make.image, make.volume)()
    sizes = [*x.shape[:2], *(draw.size(2, 12) for _ in x.shape[2:])]
    mode = draw.one_of("nearest", "linear")
    return make.model(
        "Resize",
        [x],
        [None, None, np.array(sizes, np.int64)],
        mode=mode,
        coordinate_transformation_mode=draw.one_of("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"),
        nearest_mode=draw.one_of("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
        if mode == "nearest"
        else None,
    )


@example("Resize")
def by_scales(make: Maker) -> Example:
    draw = make.draw
    rank = draw.size(1, 3)
    x = (make.signal, make.image, make.volume)[rank - 1]()
    scales = [1.0, 1.0, *(draw.one_of(1.0, 2.0, 3.0) for _ in range(rank))]
    return make.model(
        "Resize",
        [x],
        [None, np.array(scales, np.float32)],
        mode=draw.one_of("nearest", "linear"),
        coordinate_transformation_mode=draw.one_of("half_pixel", "asymmetric"),
        nearest_mode="floor",
    )


@example("Resize")
def by_weights(make: Maker) -> Example:
    draw, x = make.draw, make.image()
    mode, antialias = draw.one_of(("cubic", 0), ("cubic", 1), ("linear", 1), ("linear", 0))
    options = {
        "mode": mode,
        "antialias": antialias,
        "coordinate_transformation_mode": draw.one_of("half_pixel", "align_corners", "asymmetric"),
        "cubic_coeff_a": draw.one_of(None, -0.5) if mode == "cubic" else None,
    }
    if antialias:
        options["coordinate_transformation_mode"] = "half_pixel"
    if draw.one_of(True, False):
        scales = np.array([1, 1, *(draw.one_of(1.0, 1.3, 2.0, 0.6) for _ in range(2))], np.float32)
        return make.model("Resize", [x], [None, scales], opset=18, **options)
    sizes = np.array([*x.shape[:2], draw.size(2, 12), draw.size(2, 12)])
    return make.model("Resize", [x], [None, None, sizes], opset=18, **options)
