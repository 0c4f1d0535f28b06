"""Random int8 files of one operator that moves elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.backends.c.random_draw import Draw
from tests.tflite.tflite_files import FLOAT, INT32, File

Maker = Callable[[Draw], bytes]
Drawn = tuple[list[int], list[int], list[np.ndarray], Any]
"""Shapes of input and output, constants behind the input, options."""


def _unary(kind: str, draw_attributes: Callable[[Draw], Drawn], *, floats: bool = False) -> Maker:
    def file_of(draw: Draw) -> bytes:
        shape, result, constants, options = draw_attributes(draw)
        file, steps = File(), draw.steps()
        x, y = file.tensor("x", shape, **steps), file.tensor("y", result, **steps)
        moved = (file.tensor("xf", shape, FLOAT), file.tensor("yf", result, FLOAT)) if floats else (x, y)
        behind = [file.tensor(f"c{index}", value.shape, INT32, value) for index, value in enumerate(constants)]
        if floats:
            file.op("DEQUANTIZE", [x], [moved[0]])
        file.op(kind, [moved[0], *behind], [moved[1]], options)
        if floats:
            file.op("QUANTIZE", [moved[1]], [y])
        return file.content([x], [y])

    return file_of


def _shape(draw: Draw, rank: int = 4) -> list[int]:
    return [draw.size(2, 5) for _ in range(rank)]


def _pads(draw: Draw) -> Drawn:
    shape = _shape(draw)
    pads = draw.rng.integers(0, 3, (4, 2), dtype=np.int32)
    return shape, [size + int(both.sum()) for size, both in zip(shape, pads, strict=True)], [pads], schema.PadOptionsT()


def _mirror(draw: Draw) -> Drawn:
    shape = _shape(draw)
    pads = draw.rng.integers(0, 2, (4, 2), dtype=np.int32)
    mode = draw.one_of(schema.MirrorPadMode.REFLECT, schema.MirrorPadMode.SYMMETRIC)
    result = [size + int(both.sum()) for size, both in zip(shape, pads, strict=True)]
    return shape, result, [pads], schema.MirrorPadOptionsT(mode=mode)


def _gather(draw: Draw) -> Drawn:
    shape, axis = _shape(draw), draw.size(0, 3)
    indices = draw.rng.integers(0, shape[axis], draw.size(1, 6), dtype=np.int32)
    result = [*shape[:axis], len(indices), *shape[axis + 1 :]]
    return shape, result, [indices], schema.GatherOptionsT(axis=axis)


def _blocks(draw: Draw) -> tuple[int, list[int], list[int]]:
    block, (samples, rows, columns, channels) = draw.size(2, 3), _shape(draw)
    return block, [samples, rows, columns, channels * block**2], [samples, rows * block, columns * block, channels]


def _depth_to_space(draw: Draw) -> Drawn:
    block, stacked, spread = _blocks(draw)
    return stacked, spread, [], schema.DepthToSpaceOptionsT(blockSize=block)


def _space_to_depth(draw: Draw) -> Drawn:
    block, stacked, spread = _blocks(draw)
    return spread, stacked, [], schema.SpaceToDepthOptionsT(blockSize=block)


def _resize(options: Callable[..., Any]) -> Callable[[Draw], Drawn]:
    def attributes(draw: Draw) -> Drawn:
        shape, size = _shape(draw), [draw.size(1, 9), draw.size(1, 9)]
        corners, half = draw.one_of((True, False), (False, True), (False, False))
        chosen = options(alignCorners=corners, halfPixelCenters=half)
        return shape, [shape[0], *size, shape[3]], [np.int32(size)], chosen

    return attributes


def _slice(draw: Draw) -> Drawn:
    shape = _shape(draw)
    begins = [draw.size(0, size - 1) for size in shape]
    result = [draw.size(1, size - begin) for size, begin in zip(shape, begins, strict=True)]
    return shape, result, [np.int32(begins), np.int32(result)], schema.SliceOptionsT()


def _strided_slice(draw: Draw) -> Drawn:
    shape, begins, ends, strides, result = _shape(draw), [], [], [], []
    shrunk = draw.size(0, 3) if draw.one_of(True, False) else None
    for axis, size in enumerate(shape):
        stride = 1 if axis == shrunk else draw.one_of(1, 2, -1)
        begin = draw.size(0, size - 1)
        end = begin + 1 if axis == shrunk else (draw.size(begin + 1, size) if stride > 0 else -size - 1)
        begins.append(begin - size if draw.one_of(True, False) and axis != shrunk else begin)
        ends.append(end)
        strides.append(stride)
        if axis != shrunk:
            result.append(len(range(size)[begin : end if stride > 0 else None : stride]))
    mask = 0 if shrunk is None else 1 << shrunk
    constants = [np.int32(values) for values in (begins, ends, strides)]
    return shape, result, constants, schema.StridedSliceOptionsT(shrinkAxisMask=mask)


def _transpose(draw: Draw) -> Drawn:
    shape = _shape(draw, draw.size(2, 5))
    order = draw.rng.permutation(len(shape))
    return shape, [shape[axis] for axis in order], [order.astype(np.int32)], schema.TransposeOptionsT()


def _view(kind: str) -> Callable[[Draw], Drawn]:
    def attributes(draw: Draw) -> Drawn:
        size = draw.size(1, 20)
        if kind == "EXPAND_DIMS":
            return [size], [1, size], [np.int32([0])], schema.ExpandDimsOptionsT()
        if kind == "RESHAPE":
            return [2, size], [size, 2], [np.int32([size, 2])], schema.ReshapeOptionsT(newShape=[size, 2])
        return [1, size], [size], [], schema.SqueezeOptionsT(squeezeDims=[0])

    return attributes


def _joined(kind: str) -> Maker:
    """Return a writer of files that join tensors, or separate them, along one dimension."""

    def file_of(draw: Draw) -> bytes:
        shape, axis, file, steps = _shape(draw, 3), draw.size(0, 2), File(), draw.steps()
        sizes = [draw.size(1, 3)] * draw.size(1, 3) if kind == "SPLIT" else [draw.size(1, 3) for _ in range(3)]

        def along(size: Sequence[int] | int) -> list[int]:
            total = size if isinstance(size, int) else sum(size)
            return [*shape[:axis], total, *shape[axis + 1 :]]

        whole = file.tensor("whole", along(sizes), **steps)
        parts = [file.tensor(f"part{index}", along(size), **steps) for index, size in enumerate(sizes)]
        if kind == "CONCATENATION":
            file.op(kind, parts, [whole], schema.ConcatenationOptionsT(axis=axis))
            return file.content(parts, [whole])
        place = file.tensor("axis", (), INT32, np.int32(axis))
        if kind == "SPLIT":
            file.op(kind, [place, whole], parts, schema.SplitOptionsT(numSplits=len(sizes)))
        else:
            lengths = file.tensor("sizes", (len(sizes),), INT32, np.int32(sizes))
            file.op(kind, [whole, lengths, place], parts, schema.SplitVOptionsT(numSplits=len(sizes)))
        return file.content([whole], parts)

    return file_of


def _stacked(kind: str) -> Maker:
    def file_of(draw: Draw) -> bytes:
        shape, axis, file, steps = _shape(draw, 3), draw.size(0, 3), File(), draw.steps()
        count = draw.size(1, 3)
        whole = file.tensor("whole", [*shape[:axis], count, *shape[axis:]], **steps)
        parts = [file.tensor(f"part{index}", shape, **steps) for index in range(count)]
        if kind == "PACK":
            file.op(kind, parts, [whole], schema.PackOptionsT(valuesCount=count, axis=axis))
            return file.content(parts, [whole])
        file.op(kind, [whole], parts, schema.UnpackOptionsT(num=count, axis=axis))
        return file.content([whole], parts)

    return file_of


def _padv2(draw: Draw) -> bytes:
    shape, result, (pads,), _ = _pads(draw)
    file, steps = File(), draw.steps()
    x, y = file.tensor("x", shape, **steps), file.tensor("y", result, **steps)
    amounts = file.tensor("pads", (4, 2), INT32, pads)
    value = file.tensor("value", (), data=np.int8(draw.size(-128, 127)), **steps)
    file.op("PADV2", [x, amounts, value], [y], schema.PadV2OptionsT())
    return file.content([x], [y])


_ATTRIBUTES: dict[str, Callable[[Draw], Drawn]] = {
    "DEPTH_TO_SPACE": _depth_to_space,
    "EXPAND_DIMS": _view("EXPAND_DIMS"),
    "GATHER": _gather,
    "MIRROR_PAD": _mirror,
    "PAD": _pads,
    "RESHAPE": _view("RESHAPE"),
    "RESIZE_BILINEAR": _resize(schema.ResizeBilinearOptionsT),
    "RESIZE_NEAREST_NEIGHBOR": _resize(schema.ResizeNearestNeighborOptionsT),
    "SLICE": _slice,
    "SPACE_TO_DEPTH": _space_to_depth,
    "SQUEEZE": _view("SQUEEZE"),
    "STRIDED_SLICE": _strided_slice,
    "TRANSPOSE": _transpose,
}
_ON_FLOATS = ("DEPTH_TO_SPACE", "GATHER", "PAD", "SLICE", "SPACE_TO_DEPTH", "STRIDED_SLICE", "TRANSPOSE")
MOVEMENT_FILES: dict[str, Maker] = {
    **{kind: _unary(kind, attributes) for kind, attributes in _ATTRIBUTES.items()},
    **{f"float {kind}": _unary(kind, _ATTRIBUTES[kind], floats=True) for kind in _ON_FLOATS},
    **{kind: _joined(kind) for kind in ("CONCATENATION", "SPLIT", "SPLIT_V")},
    **{kind: _stacked(kind) for kind in ("PACK", "UNPACK")},
    "PADV2": _padv2,
}
"""Writers of files by operator; the ones of floats have it between DEQUANTIZE and QUANTIZE."""
