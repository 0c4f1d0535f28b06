"""Context of the lowering of an operator: ONNX values as views, emitted operators, conversion of layouts."""

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
    """The TFLite graph as it grows, one ONNX node after another."""

    def __init__(self, source: OnnxGraph) -> None:
        self.source = source
        self.graph = TfliteGraph()
        self._views: dict[str, LayoutView] = {}
        self._moved: dict[tuple[Any, ...], Tensor] = {}
        self._node = ""
        self._emitted: set[Tensor] = set()

    def begin(self, node: Node) -> None:
        """Attribute all operators that are emitted from here on to ``node``."""
        self._node = node.name
        self._emitted = set()

    def add_input(self, name: str, order: Shape) -> None:
        """Make an input of the model, stored in ``order``."""
        shape = self.source.shapes[name]
        tensor = Tensor(name, tuple(shape[dim] for dim in order), self.source.dtypes[name])
        self.graph.inputs.append(tensor)
        self._views[name] = LayoutView.of(tensor, order)

    def add_output(self, name: str) -> Shape:
        """Make an output of the model; returns the order it is stored in: as in ONNX, or channels last."""
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
        """The values of a constant; None where it is computed."""
        return self.source.constants.get(name)

    def view(self, name: str) -> LayoutView:
        """View of a value.

        Raises:
            ModelError: It is an output that the lowering of its node does not give.
        """
        if name not in self._views:
            if name not in self.source.constants:
                raise ModelError(f"'{name}' is read, but only the first output of its node can be converted to TFLite")
            self._views[name] = LayoutView.of(Tensor.constant(name, self.source.constants[name]))
        return self._views[name]

    def write(self, name: str, view: LayoutView) -> None:
        """Say where the ONNX value ``name`` lies."""
        assert view.shape == self.source.shapes[name], f"{name}: {view.shape}, not {self.source.shapes[name]}"
        if view.tensor in self._emitted:
            view.tensor.name = self._node
        self._views[name] = view

    # Operators

    def constant(self, part: str, data: Array) -> Tensor:
        """A constant that plays ``part`` in the current node."""
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
        """Add an operator with an output of each of ``shapes``."""
        if dtype is None:
            assert inputs[0] is not None
            dtype = inputs[0].dtype
        outputs = [Tensor(f"{self._node}/{code.lower()}", tuple(shape), dtype) for shape in shapes]
        self.graph.ops.append(TfliteOp(code, list(inputs), outputs, options))
        self._emitted.update(outputs)
        return outputs

    # Layouts

    def reshaped(self, view: LayoutView, shape: Sequence[int]) -> LayoutView:
        """Reshape like ONNX; elements are moved only if the stored ones have no such view."""
        found = view.reshaped(shape)
        if found is None:
            found = LayoutView.of(self.arranged(view, identity(view.rank))).reshaped(shape)
            assert found is not None
        return found

    def arranged(self, view: LayoutView, order: Sequence[int], shape: Sequence[int] | None = None) -> Tensor:
        """A stored tensor with the ONNX dimensions in ``order``; seen as ``shape``, where that is given.

        Costs nothing, a RESHAPE or a TRANSPOSE; what was moved once is found again.
        """
        shape = tuple(view.shape[dim] for dim in order) if shape is None else tuple(shape)
        wanted = [factor for dim in order for factor in view.dims[dim]]
        if wanted == sorted(wanted):
            return self._reshape(view.tensor, shape)
        key = (view.tensor, view.factors, tuple(wanted), shape)
        if key not in self._moved:
            self._moved[key] = self._transpose(view, wanted, shape)
        return self._moved[key]

    def plain(self, view: LayoutView) -> tuple[Tensor, Shape]:
        """A stored tensor with a dimension for each of ONNX, and the order they are in there."""
        order = view.order()
        return self.arranged(view, order), order

    def aligned(self, views: Sequence[LayoutView]) -> tuple[list[Tensor], LayoutView]:
        """Stored tensors that broadcast as the ONNX tensors ``views`` do, and the view that their result has.

        The largest computed one stays as it lies, the others are brought into its order. The view is of that one: it
        becomes that of the result by ``over``.
        """
        shape = np.broadcast_shapes(*(view.shape for view in views))
        ranked = [self.reshaped(view, (1,) * (len(shape) - view.rank) + view.shape) for view in views]
        computed = [view for view in ranked if not view.tensor.is_constant]
        leader = max(computed or ranked, key=lambda view: prod(view.shape))
        place = ranked.index(leader)
        if leader.shape == shape:
            groups = leader.stored_dims()
            if groups is None:
                leader = leader.over(self._reshape(leader.tensor, leader.factors))
                groups = tuple((factor,) for factor in range(len(leader.factors)))
            if not any(_mixes(leader, groups, view) for view in ranked):
                tensors = [self._follow(view, leader, groups) for view in ranked]
                tensors[place] = leader.tensor
                return tensors, leader
        order = leader.order()
        tensors = [_trimmed(self.arranged(view, order)) for view in ranked]
        stored = Tensor("", tuple(shape[dim] for dim in order), tensors[0].dtype)
        return tensors, LayoutView.of(stored, order)

    def _follow(self, view: LayoutView, leader: LayoutView, groups: Sequence[Shape]) -> Tensor:
        """``view``, of the rank of ``leader``, so that it broadcasts to the stored tensor of ``leader``."""
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

    def _transpose(self, view: LayoutView, wanted: Sequence[int], shape: Shape) -> Tensor:
        """Move the factors of ``view`` into the order ``wanted``; as few dimensions as can be, as kernels take few."""
        groups = view.stored_dims()
        place = {group[0]: index for index, group in enumerate(groups or ()) if group}
        whole = groups is not None and all(
            tuple(wanted[wanted.index(group[0]) : wanted.index(group[0]) + len(group)]) == group
            for group in groups
            if group
        )
        if whole:
            source = view.tensor
            sized = [place[factor] for factor in wanted if factor in place]
            units = [index for index, size in enumerate(source.shape) if size == 1]
            order = _with_units(sized, units, source.shape, shape)
        else:
            runs: list[list[int]] = []
            for factor in wanted:
                if runs and factor == runs[-1][-1] + 1:
                    runs[-1].append(factor)
                else:
                    runs.append([factor])
            stored = sorted(runs)
            source = self._reshape(view.tensor, tuple(prod(view.factors[f] for f in run) for run in stored))
            order = [stored.index(run) for run in runs]
        moved = tuple(source.shape[index] for index in order)
        if source.data is not None:
            return Tensor.constant(source.name, source.data.transpose(order).reshape(shape))
        tensor = self.emit("TRANSPOSE", [source, self.constant("order", np.array(order, np.int32))], moved)
        return self._reshape(tensor, shape)


def _mixes(leader: LayoutView, groups: Sequence[Shape], view: LayoutView) -> bool:
    """Whether ``view`` broadcasts along a part of a stored dimension of ``leader``."""
    spread = {factor: size == 1 for dim, size in zip(leader.dims, view.shape, strict=True) for factor in dim}
    return any(len({spread[factor] for factor in group}) > 1 for group in groups)


def _trimmed(tensor: Tensor) -> Tensor:
    """Constants without leading dimensions of size 1, as TFLite's own converters write them."""
    if tensor.data is None:
        return tensor
    shape = tensor.shape
    while shape and shape[0] == 1:
        shape = shape[1:]
    return Tensor.constant(tensor.name, tensor.data.reshape(shape))


def _with_units(sized: Sequence[int], units: Sequence[int], source: Shape, shape: Shape) -> list[int]:
    """The stored dimensions ``sized`` in this order, those of size 1 put where ``shape`` has some, if that fits."""
    rest_sized, rest_units, order = list(sized), list(units), []
    if len(source) == len(shape):
        for size in shape:
            rest = rest_units if size == 1 else rest_sized
            if rest and source[rest[0]] == size:
                order.append(rest.pop(0))
    return order if len(order) == len(source) else [*units, *sized]
