"""Images that are sampled at computed positions."""

from __future__ import annotations

import numpy as np

from tests.conformance.lowerings.base import Example, Maker, example


@example("GridSample")
def grid_sample(make: Maker) -> Example:
    draw, x = make.draw, make.image(least=3)
    grid = np.asarray(make.values(x.shape[0], draw.size(1, 4), draw.size(1, 5), 2), np.float32)
    grid = draw.one_of(grid, np.asarray(np.tanh(grid), np.float32))
    inputs, constants = draw.one_of(([x, grid], []), ([x], [grid]))
    return make.model(
        "GridSample",
        inputs,
        constants,
        mode=draw.one_of(None, "bilinear", "nearest"),
        padding_mode=draw.one_of(None, "zeros", "border", "reflection"),
        align_corners=draw.one_of(None, 0, 1),
    )


@example("RoiAlign")
def roi_align(make: Maker) -> Example:
    draw, count = make.draw, make.draw.size(1, 3)
    x = make.values(1, draw.size(1, 4), 7, 9)
    starts = 8 * make.rng.random((count, 2)) - 1
    rois = np.concatenate([starts, starts + 6 * make.rng.random((count, 2))], 1).astype(np.float32)
    return make.model(
        "RoiAlign",
        [x, rois],
        [np.zeros(count, np.int64)],
        output_height=draw.size(1, 3),
        output_width=draw.size(1, 3),
        sampling_ratio=draw.size(1, 3),
        spatial_scale=draw.one_of(None, 0.5),
        coordinate_transformation_mode=draw.one_of(None, "half_pixel", "output_half_pixel"),
    )
