"""Views: however a tensor is looked at, what is brought into an order is what NumPy brings into it."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprune.tflite.conversion.layout_views import LayoutView, channels_last, identity
from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.onnx_graph import OnnxGraph
from edgeprune.tflite.conversion.tflite_graph import Tensor
from tests.example_count import example_count

_NOTHING = OnnxGraph(nodes=[], constants={}, shapes={}, dtypes={}, inputs=[], outputs=[], opset=17)
_SHAPES = st.lists(st.sampled_from([1, 1, 2, 3, 4, 6]), min_size=1, max_size=4)


@pytest.mark.long
@example_count(200)
@given(data=st.data(), shape=_SHAPES)
def test_reshapes_and_transposes_are_those_of_numpy(data: st.DataObject, shape: list[int]) -> None:
    expected = np.arange(prod(shape), dtype=np.int32).reshape(shape)
    low = Lowering(_NOTHING)
    view = LayoutView.of(Tensor.constant("x", expected))  # of constants, low moves the values themselves
    for _ in range(data.draw(st.integers(0, 5))):
        if data.draw(st.booleans()):
            order = data.draw(st.permutations(range(expected.ndim)))
            expected, view = expected.transpose(order), view.transposed(order)
        else:
            sizes = _sizes(data, expected.size)
            expected, view = expected.reshape(sizes), low.reshaped(view, sizes)
        assert view.shape == expected.shape
    order = data.draw(st.permutations(range(expected.ndim)))
    np.testing.assert_array_equal(low.arranged(view, order).data, expected.transpose(order))
    tensor, order = low.with_onnx_dims(view)
    np.testing.assert_array_equal(tensor.data, expected.transpose(order))
    assert not low.graph.ops


@pytest.mark.long
@example_count(200)
@given(data=st.data(), shape=_SHAPES)
def test_views_broadcast_as_in_numpy(data: st.DataObject, shape: list[int]) -> None:
    low = Lowering(_NOTHING)
    arrays, views = [], []
    for index in range(2):
        own = [data.draw(st.sampled_from([size, 1])) if index else size for size in shape]
        order = data.draw(st.permutations(range(len(own))))
        values = np.arange(prod(own), dtype=np.int32).reshape(own)
        arrays.append(values)
        views.append(LayoutView.of(Tensor.constant("x", values.transpose(order)), order))
    split = low.reshaped(views[0], [part for size in shape for part in ((2, size // 2) if size % 2 == 0 else (size,))])
    views[0] = low.reshaped(split, shape)
    tensors, view = low.aligned(views)
    result = tensors[0].data + tensors[1].data
    assert result.shape == view.tensor.shape
    actual = low.arranged(view.over(Tensor.constant("y", result)), identity(len(shape)))
    np.testing.assert_array_equal(actual.data, arrays[0] + arrays[1])


def test_an_image_is_one_tensor_in_both_layouts() -> None:
    stored = Tensor("x", (2, 5, 6, 3), np.dtype("float32"))
    view = LayoutView.of(stored, channels_last(4))
    assert view.shape == (2, 3, 5, 6)
    assert view.order() == (0, 2, 3, 1)
    tokens = view.reshaped((2, 3, 30))
    assert tokens is not None
    assert tokens.transposed((0, 2, 1)).order() == (0, 1, 2)
    assert view.reshaped((2, 2, 45)) is None  # would take channels apart


def _sizes(data: st.DataObject, size: int) -> list[int]:
    sizes = []
    while size > 1 and len(sizes) < 3:
        part = data.draw(st.sampled_from([factor for factor in range(1, size + 1) if size % factor == 0]))
        sizes.append(part)
        size //= part
    return [*sizes, size]
