"""Context for the lowering of operators: views of ONNX values, emitted operators, and layout conversions."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from edgeprune.errors import ModelError
from edgeprune.tflite.conversion.layout_views import LayoutView, Shape, channels_last, identity
from edgeprune.tflite.conversion.onnx_graph import Node, OnnxGraph
from edgeprune.tflite.conversion.tflite_graph import Array, Tensor, TfliteGraph, TfliteOp


class Lowering:
    """TFLite graph during the conversion of the ONNX nodes."""

    def __init__(self, source: OnnxGraph) -> None:
        self.source = source
        self.graph = TfliteGraph()
        self._views: dict[str, LayoutView] = {}
        self._moved: dict[tuple[Any, ...], Tensor] = {}
        self._node = ""
        self._emitted: set[Tensor] = set()

    def begin(self, node: Node) -> None:
        """Attribute all following operators to ``node``."""
        self._node = node.name
        self._emitted = set()

    def add_input(self, name: str, order: Shape) -> None:
        """Add an input of the model, stored in ``order``."""
        shape = self.source.shapes[name]
        tensor = Tensor(name, tuple(shape[dim] for dim in order), self.source.dtypes[name])
        self.graph.inputs.append(tensor)
        self._views[name] = LayoutView.of(tensor, order)

    def add_output(self, name: str) -> Shape:
        """Add an output of the model, and return its storage order: that of ONNX, or channels last."""
        view = self.view(name)
        order = view.order()
        if order not in (channels_last(view.rank), identity(view.rank)):
            order = identity(view.rank)
        self._node, self._emitted = name, set()
        tensor = self.arranged(view, order)
        if tensor in self.graph.inputs or tensor in self.graph.outputs or tensor.is_constant:
            tensor = self._emit_reshape(tensor, tensor.shape)
        tensor.name = name
        self.graph.outputs.append(tensor)
        return order

    # ONNX values

    def array(self, name: str) -> Array | None:
        """Return the values of a constant; None if the value is computed."""
        return self.source.constants.get(name)

    def view(self, name: str) -> LayoutView:
        """Return the view of a value.

        Raises:
            ModelError: The lowering of its node does not support this output.
        """
        if name not in self._views:
            if name not in self.source.constants:
                node = self.source.producers()[name]
                raise ModelError(
                    f"{node.where}: its output '{name}' is used, but only its first output can be converted to TFLite"
                )
            self._views[name] = LayoutView.of(Tensor.constant(name, self.source.constants[name]))
        return self._views[name]

    def write(self, name: str, view: LayoutView) -> None:
        """Set the view of the ONNX value ``name``."""
        assert view.shape == self.source.shapes[name], f"{name}: {view.shape}, not {self.source.shapes[name]}"
        if view.tensor in self._emitted:
            view.tensor.name = self._node
        self._views[name] = view

    # Operators

    def constant(self, part: str, data: Array) -> Tensor:
        """Create the constant ``part`` of the current node."""
        return Tensor.constant(f"{self._node}/{part}", np.asarray(data, order="C"))

    def emit(
        self,
        code: str,
        inputs: Sequence[Tensor | None],
        shape: Sequence[int],
        options: Any = None,
        *,
        dtype: np.dtype[Any] | None = None,
    ) -> Tensor:
        """Add an operator with one output of ``shape``, of the type of the first input unless ``dtype`` is given."""
        return self.emit_many(code, inputs, [shape], options, dtype=dtype)[0]

    def emit_many(
        self,
        code: str,
        inputs: Sequence[Tensor | None],
        shapes: Sequence[Sequence[int]],
        options: Any = None,
        *,
        dtype: np.dtype[Any] | None = None,
    ) -> list[Tensor]:
        """Add an operator with one output for each of ``shapes``."""
        if dtype is None:
            assert inputs[0] is not None
            dtype = inputs[0].dtype
        outputs = [Tensor(f"{self._node}/{code.lower()}", tuple(shape), dtype) for shape in shapes]
        self.graph.ops.append(TfliteOp(code, list(inputs), outputs, options))
        self._emitted.update(outputs)
        return outputs

    # Layouts

    def reshaped(self, view: LayoutView, shape: Sequence[int]) -> LayoutView:
        """Reshape like ONNX. Elements are moved only if the stored tensor has no such view."""
        result = view.reshaped(shape)
        if result is None:
            result = LayoutView.of(self.arranged(view, identity(view.rank))).reshaped(shape)
            assert result is not None
        return result

    def arranged(self, view: LayoutView, order: Sequence[int], shape: Sequence[int] | None = None) -> Tensor:
        """Return a stored tensor with the ONNX dimensions in ``order``, reshaped to ``shape`` if it is not None.

        This emits nothing, a RESHAPE or a TRANSPOSE. Equal requests share the operator.
        """
        shape = tuple(view.shape[dim] for dim in order) if shape is None else tuple(shape)
        target_order = [factor for dim in order for factor in view.dims[dim]]
        if target_order == sorted(target_order):
            return self._reshape(view.tensor, shape)
        key = (view.tensor, view.factors, tuple(target_order), shape)
        if key not in self._moved:
            self._moved[key] = self._transpose(view, target_order, shape)
        return self._moved[key]

    def with_onnx_dims(self, view: LayoutView) -> tuple[Tensor, Shape]:
        """Return a stored tensor with one dimension for each ONNX dimension, and their order."""
        order = view.order()
        return self.arranged(view, order), order

    def aligned(self, views: Sequence[LayoutView]) -> tuple[list[Tensor], LayoutView]:
        """Return stored tensors that broadcast like the ONNX tensors ``views``, and the view of the result.

        The largest computed tensor keeps its layout, and the others are converted to it. The returned view is of that
        tensor; ``over`` converts it to a view of the result.
        """
        shape = np.broadcast_shapes(*(view.shape for view in views))
        ranked = [self.reshaped(view, (1,) * (len(shape) - view.rank) + view.shape) for view in views]
        computed = [view for view in ranked if not view.tensor.is_constant]
        leader = max(computed or ranked, key=lambda view: prod(view.shape))
        leader_index = ranked.index(leader)
        if leader.shape == shape:
            groups = leader.stored_dims()
            if groups is None:
                leader = leader.over(self._reshape(leader.tensor, leader.factors))
                groups = tuple((factor,) for factor in range(len(leader.factors)))
            if not any(_mixes(leader, groups, view) for view in ranked):
                tensors = [self._follow(view, leader, groups) for view in ranked]
                tensors[leader_index] = leader.tensor
                return tensors, leader
        order = leader.order()
        tensors = [_trimmed(self.arranged(view, order)) for view in ranked]
        stored = Tensor("", tuple(shape[dim] for dim in order), tensors[0].dtype)
        return tensors, LayoutView.of(stored, order)

    def _follow(self, view: LayoutView, leader: LayoutView, groups: Sequence[Shape]) -> Tensor:
        """Convert ``view``, of the rank of ``leader``, to a tensor that broadcasts to the tensor of ``leader``."""
        factors = [factor for dim in leader.dims for factor in dim]
        sizes = [
            leader.factors[factor] if size != 1 else 1
            for dim, size in zip(leader.dims, view.shape, strict=True)
            for factor in dim
        ]
        refined = self.reshaped(view, sizes)
        order = sorted(range(len(factors)), key=factors.__getitem__)
        by_factor = dict(zip(factors, sizes, strict=True))
        shape = [prod(by_factor[factor] for factor in group) for group in groups]
        return _trimmed(self.arranged(refined, order, shape))

    def _reshape(self, tensor: Tensor, shape: Shape) -> Tensor:
        if tensor.shape == shape:
            return tensor
        if tensor.data is not None:
            return Tensor.constant(tensor.name, tensor.data.reshape(shape))
        key = (tensor, shape)
        if key not in self._moved:
            self._moved[key] = self._emit_reshape(tensor, shape)
        return self._moved[key]

    def _emit_reshape(self, tensor: Tensor, shape: Shape) -> Tensor:
        return self.emit("RESHAPE", [tensor, self.constant("shape", np.array(shape, np.int32))], shape)

    def _transpose(self, view: LayoutView, target_order: Sequence[int], shape: Shape) -> Tensor:
        """Transpose the factors of ``view`` to ``target_order`` with few dimensions, because kernels limit the rank."""
        groups = view.stored_dims()
        dimension_of = {group[0]: index for index, group in enumerate(groups or ()) if group}
        keeps_dimensions = groups is not None and all(
            tuple(target_order[target_order.index(group[0]) : target_order.index(group[0]) + len(group)]) == group
            for group in groups
            if group
        )
        if keeps_dimensions:
            source = view.tensor
            sized = [dimension_of[factor] for factor in target_order if factor in dimension_of]
            units = [index for index, size in enumerate(source.shape) if size == 1]
            order = _with_units(sized, units, source.shape, shape)
        else:
            runs: list[list[int]] = []
            for factor in target_order:
                if runs and factor == runs[-1][-1] + 1:
                    runs[-1].append(factor)
                else:
                    runs.append([factor])
            stored = sorted(runs)
            source = self._reshape(view.tensor, tuple(prod(view.factors[f] for f in run) for run in stored))
            order = [stored.index(run) for run in runs]
        transposed_shape = tuple(source.shape[index] for index in order)
        if source.data is not None:
            return Tensor.constant(source.name, source.data.transpose(order).reshape(shape))
        tensor = self.emit("TRANSPOSE", [source, self.constant("order", np.array(order, np.int32))], transposed_shape)
        return self._reshape(tensor, shape)


def _mixes(leader: LayoutView, groups: Sequence[Shape], view: LayoutView) -> bool:
    """Return whether ``view`` broadcasts along a part of a stored dimension of ``leader``."""
    spread = {factor: size == 1 for dim, size in zip(leader.dims, view.shape, strict=True) for factor in dim}
    return any(len({spread[factor] for factor in group}) > 1 for group in groups)


def _trimmed(tensor: Tensor) -> Tensor:
    """Remove leading dimensions of size 1 from constants, as TFLite's converters do."""
    if tensor.data is None:
        return tensor
    shape = tensor.shape
    while shape and shape[0] == 1:
        shape = shape[1:]
    return Tensor.constant(tensor.name, tensor.data.reshape(shape))


def _with_units(sized: Sequence[int], units: Sequence[int], source: Shape, shape: Shape) -> list[int]:
    """Merge ``sized`` dimensions, in this order, with those of size 1 at their positions in ``shape`` if possible."""
    remaining_sized, remaining_units, order = list(sized), list(units), []
    if len(source) == len(shape):
        for size in shape:
            candidates = remaining_units if size == 1 else remaining_sized
            if candidates and source[candidates[0]] == size:
                order.append(candidates.pop(0))
    return order if len(order) == len(source) else [*units, *sized]
