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
