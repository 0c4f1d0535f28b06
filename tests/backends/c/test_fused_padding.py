"""Padding with the zero point is part of the convolution that reads it, and computes the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgeprune.backends.c.fused_padding import with_fused_padding
from edgeprune.backends.c.int8_network import read_network
from tests.backends.c.host_program import assert_equals_interpreter, needs_gcc
from tests.tflite.tflite_files import INT32, File

_STEPS = {"scale": 0.05, "zero_point": 7}


def _file(
    pads: list[list[int]], *, kind: str = "CONV_2D", pad: str = "PAD", value: int = 7, same: bool = False,
    stride: int = 1, dilation: int = 1, size: int = 5, read_twice: bool = False,
) -> bytes:  # fmt: skip
    file = File()
    padded = [size + sum(pads[1]), size + sum(pads[2])]
    reach = 2 * dilation + 1
    result = [-(-side // stride) if same else (side - reach) // stride + 1 for side in padded]
    x = file.tensor("x", (1, size, size, 4), **_STEPS)
    p = file.tensor("p", (1, *padded, 4), **_STEPS)
    y = file.tensor("y", (1, *result, 4), scale=0.9, zero_point=-5)
    amounts = file.tensor("pads", (4, 2), INT32, np.int32(pads))
    more = [file.tensor("value", (), data=np.int8(value), **_STEPS)] if pad == "PADV2" else []
    file.op(pad, [x, amounts, *more], [p], schema.PadOptionsT() if pad == "PAD" else schema.PadV2OptionsT())
    shape = (4, 3, 3, 4) if kind == "CONV_2D" else (1, 3, 3, 4)
    weights = np.random.default_rng(0).integers(-127, 128, shape, dtype=np.int8)
    w = file.tensor("w", shape, data=weights, steps=4, axis=0 if kind == "CONV_2D" else 3, scale=0.01)
    bias = file.tensor("b", (4,), INT32, np.int32([1, -2, 3, -4]))
    options = schema.Conv2DOptionsT() if kind == "CONV_2D" else schema.DepthwiseConv2DOptionsT(depthMultiplier=1)
    options.padding = schema.Padding.SAME if same else schema.Padding.VALID
    options.strideH = options.strideW = stride
    options.dilationHFactor = options.dilationWFactor = dilation
    file.op(kind, [p, w, bias], [y], options)
    return file.content([x], [y, p] if read_twice else [y])


_ONE = [[0, 0], [1, 1], [1, 1], [0, 0]]
_UNEVEN = [[0, 0], [0, 2], [1, 2], [0, 0]]


@needs_gcc
@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D"])
@pytest.mark.parametrize(
    ("pads", "stride", "dilation", "same"),
    [
        (_ONE, 1, 1, False), (_ONE, 2, 1, False), (_ONE, 1, 2, False), (_ONE, 1, 1, True),
        (_UNEVEN, 1, 1, False), (_UNEVEN, 2, 1, False), (_UNEVEN, 1, 2, False),
    ],
)  # fmt: skip
def test_fused_padding_computes_the_same(
    kind: str, pads: list[list[int]], stride: int, dilation: int, same: bool, tmp_path: Path
) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(_file(pads, kind=kind, stride=stride, dilation=dilation, same=same))
    assert [step.kind for step in with_fused_padding(read_network(path)).steps] == [kind]
    assert assert_equals_interpreter(path, tmp_path / "c").arena_bytes == 0


_FAR = [[0, 0], [4, 4], [4, 4], [0, 0]]


@needs_gcc
@pytest.mark.parametrize(
    ("content", "kinds"),
    [
        (_file(_ONE, pad="PADV2"), ["CONV_2D"]),
        (_file(_ONE, pad="PADV2", value=8), ["PADV2", "CONV_2D"]),
        (_file(_FAR, size=2), ["PAD", "CONV_2D"]),
        (_file(_ONE, read_twice=True), ["PAD", "CONV_2D"]),
    ],
    ids=["the zero point as a constant", "another constant", "windows beside the image", "another reader"],
)
def test_padding_is_fused_only_where_it_is_exact(content: bytes, kinds: list[str], tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(content)
    assert [step.kind for step in with_fused_padding(read_network(path)).steps] == kinds
    assert_equals_interpreter(path, tmp_path / "c")
