"""Fourier transforms."""

from __future__ import annotations

import numpy as np

from tests.conformance.lowerings.base import Example, Maker, example


@example("DFT")
def fourier_transform(make: Maker) -> Example:
    draw, opset = make.draw, make.draw.one_of(17, 20)
    parts = draw.size(1, 2)
    x = make.values(*(draw.size(2, 6) for _ in range(draw.size(1, 3))), parts)
    axis = draw.size(0, x.ndim - 2)
    onesided = parts == 1 and draw.one_of(True, False)
    length = draw.one_of(None, np.array(draw.size(2, x.shape[axis]), np.int64))
    options = {"onesided": int(onesided), "inverse": 0 if onesided else draw.size(0, 1)}
    if opset == 17:
        return make.model("DFT", [x], [length], opset=opset, axis=axis, **options)
    return make.model("DFT", [x], [length, np.array(axis, np.int64)], opset=opset, **options)


@example("DFT")
def inverse_transform_to_real_numbers(make: Maker) -> Example:
    """The inverse of one half of a symmetric spectrum: with an odd length, the last frequency counts twice."""
    draw, opset = make.draw, make.draw.one_of(17, 20)
    x = make.values(draw.size(2, 4), draw.size(2, 5), 2)
    half = x.shape[1]
    length = draw.one_of(None, *(np.array(size, np.int64) for size in (2 * half - 2, 2 * half - 1) if size > 1))
    options = {"onesided": 1, "inverse": 1}
    if opset == 17:
        return make.model("DFT", [x], [length], opset=opset, axis=1, **options)
    return make.model("DFT", [x], [length, np.array(1, np.int64)], opset=opset, **options)


@example("STFT")
def short_time_fourier_transform(make: Maker) -> Example:
    draw, length = make.draw, make.draw.size(4, 9)
    x = make.values(draw.size(1, 2), draw.size(12, 20), 1)
    window, frame = draw.one_of(
        (make.values(length), np.array(length, np.int64)),
        (make.values(length), None),
        (None, np.array(length, np.int64)),
    )
    step = np.array(draw.size(1, 4), np.int64)
    return make.model("STFT", [x], [step, window, frame], onesided=draw.size(0, 1))
