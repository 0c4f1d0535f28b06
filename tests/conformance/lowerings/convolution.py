"""Convolutions, transposed convolutions, and moves between channels and space."""

from __future__ import annotations

from typing import Any

from tests.conformance.lowerings.base import Example, Maker, example


def _padding(make: Maker, rank: int, most: int) -> dict[str, Any]:
    draw = make.draw
    way = draw.one_of("pads", "pads", "none", "SAME_UPPER", "SAME_LOWER", "VALID")
    if way == "pads":
        return {"pads": [draw.size(0, most) for _ in range(2 * rank)]}
    return {} if way == "none" else {"auto_pad": way}


def _convolution(make: Maker, rank: int, groups: int, inner: int, outer: int) -> Example:
    draw = make.draw
    x = (make.signal, make.image, make.volume)[rank - 1](groups * inner)
    kernel = [draw.size(1, 3) for _ in range(rank)]
    bias = make.values(groups * outer) if draw.one_of(True, False) else None
    padding = _padding(make, rank, 2)
    return make.model(
        "Conv",
        [x],
        [make.values(groups * outer, inner, *kernel), bias],
        group=groups,
        strides=[draw.size(1, 3) for _ in range(rank)],
        dilations=None if "auto_pad" in padding else [draw.size(1, 2) for _ in range(rank)],
        **padding,
    )


@example("Conv")
def convolution(make: Maker) -> Example:
    return _convolution(make, make.draw.size(1, 2), 1, make.draw.size(1, 5), make.draw.size(1, 5))


@example("Conv")
def depthwise(make: Maker) -> Example:
    return _convolution(make, make.draw.size(1, 3), make.draw.size(2, 5), 1, make.draw.size(1, 2))


@example("Conv")
def grouped(make: Maker) -> Example:
    return _convolution(make, make.draw.size(1, 2), make.draw.size(2, 3), make.draw.size(2, 4), make.draw.size(1, 4))


@example("Conv")
def of_a_volume(make: Maker) -> Example:
    groups = make.draw.one_of(1, 1, 2)
    return _convolution(make, 3, groups, make.draw.size(1, 4), make.draw.size(1, 4))


@example("Conv")
def along_one_axis_of_a_volume(make: Maker) -> Example:
    kernel, pads = make.draw.one_of(([3, 1, 1], [1, 0, 0]), ([1, 3, 3], [0, 1, 1]), ([1, 1, 1], [0, 0, 0]))
    x, weights = make.volume(3), make.values(4, 3, *kernel)
    return make.model("Conv", [x], [weights, make.values(4)], pads=2 * pads)


@example("Conv")
def by_computed_weights(make: Maker) -> Example:
    draw, rank = make.draw, make.draw.size(1, 2)
    groups, inner, outer = draw.size(1, 3), draw.size(1, 3), draw.size(1, 3)
    x = (make.signal, make.image)[rank - 1](groups * inner)
    weights = make.values(groups * outer, inner, *(draw.size(1, 3) for _ in range(rank)))
    inputs = draw.one_of([x, weights], [x, weights, make.values(groups * outer)])
    return make.model("Conv", inputs, group=groups, strides=[draw.size(1, 2)] * rank, **_padding(make, rank, 1))


@example("ConvTranspose")
def transposed_convolution(make: Maker) -> Example:
    draw = make.draw
    rank, groups = draw.size(1, 3), draw.one_of(1, 1, 2)
    channels = groups * draw.size(1, 3)
    x = (make.signal, make.image, make.volume)[rank - 1](channels)
    strides = [draw.size(1, 3) for _ in range(rank)]
    kernel = [draw.size(2, 4) for _ in range(rank)]
    way = draw.one_of("pads", "auto_pad", "output_shape")
    attributes: dict[str, Any] = {}
    if way == "pads":
        attributes["pads"] = [draw.size(0, 1) for _ in range(2 * rank)]
        attributes["output_padding"] = [draw.size(0, step - 1) for step in strides]
    elif way == "auto_pad":
        attributes["auto_pad"] = draw.one_of("SAME_UPPER", "SAME_LOWER", "VALID")
    else:
        attributes["output_shape"] = [
            (size - 1) * step + taps - draw.size(0, 1)
            for size, step, taps in zip(x.shape[2:], strides, kernel, strict=True)
        ]
    outer = draw.size(1, 3)
    bias = make.values(groups * outer) if draw.one_of(True, False) else None
    constants = [make.values(channels, outer, *kernel), bias]
    dilations = [draw.size(1, 2) for _ in range(rank)] if way == "pads" else None
    return make.model("ConvTranspose", [x], constants, group=groups, strides=strides, dilations=dilations, **attributes)


@example("DepthToSpace")
def depth_to_space(make: Maker) -> Example:
    size = make.draw.size(2, 3)
    x = make.image(make.draw.size(1, 3) * size * size)
    return make.model("DepthToSpace", [x], blocksize=size, mode=make.draw.one_of("DCR", "CRD", None))


@example("SpaceToDepth")
def space_to_depth(make: Maker) -> Example:
    size = make.draw.size(2, 3)
    sizes = [size * make.draw.size(1, 3) for _ in range(2)]
    return make.model("SpaceToDepth", [make.values(2, make.draw.size(1, 4), *sizes)], blocksize=size)
