"""Construction of a module from ONNX operators, which are executed on examples while they are added.

Every operator runs on the values of each *lane*. With one lane, the network has the batch size of the file. With three
lanes, the first two are examples of this batch size, and the third has both as one batch: the network then accepts any
batch size, see ``batch_position``. Operators on constants are executed and add nothing, so that constants are folded.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from edgeprune.errors import ModelError
from edgeprune.export.onnx_loading import first_line
from edgeprune.onnx_import.batch_position import MixedBatchError, locate
from edgeprune.onnx_import.call_arguments import as_function, in_containers, leaves_of, of_lane, values_in
from edgeprune.onnx_import.node_values import NodeValues
from edgeprune.onnx_import.parameter_names import argument_names
from edgeprune.onnx_import.result_size import MOST_ELEMENTS, result_elements
from edgeprune.onnx_import.source_graph import SourceInput, SourceNode
from edgeprune.onnx_import.traced_values import Constant, Size, Sizes, Value
from edgeprune.onnx_import.weight_store import WeightStore

_SINGLE_LANE = 1


class NetworkBuilder(NodeValues):
    """Module under construction.

    Args:
        inputs: Inputs of the network.
        lanes: Examples of all inputs for each lane, in the order of ``inputs``.
        initializers: Constant tensors of the file by name.
        readers: Nodes that read each value.

    Attributes:
        batch_size: Batch size of the file; 0 if the network keeps it.
    """

    def __init__(
        self,
        inputs: Sequence[SourceInput],
        lanes: Sequence[Sequence[Tensor]],
        initializers: Mapping[str, Tensor],
        readers: Mapping[str, Sequence[SourceNode]],
    ) -> None:
        super().__init__(initializers, readers)
        self._graph = fx.Graph()
        self._root = nn.Module()
        self._store = WeightStore(self._root, readers)
        self._lanes = len(lanes)
        self.batch_size = int(lanes[0][0].shape[0]) if self._lanes > _SINGLE_LANE else 0
        self._inputs: list[Value] = []
        arguments = argument_names([port.name for port in inputs])
        for index, port in enumerate(inputs):
            placeholder = self._graph.placeholder(arguments[index])
            value = self._traced(placeholder, [lane[index] for lane in lanes], is_raw=True)
            self._values[port.name] = value
            self._inputs.append(value)
        self._batch_size: Size = self.batch_size
        if self._lanes > _SINGLE_LANE:
            self._batch_size = self.size(self._inputs[0], 0)

    def is_independent(self, value: Value) -> bool:
        """Return whether a tensor depends on the sizes of the inputs only, not on their elements."""
        pending, visited = [value.node], {value.node}
        while pending:
            node = pending.pop()
            if node.op == "placeholder":
                return False
            sources = [] if node.op == "call_method" and node.target == "size" else node.all_input_nodes
            pending += [source for source in sources if source not in visited]
            visited.update(sources)
        return True

    # Operators

    def call(self, function: Callable[..., Any] | str, *args: Any, **kwargs: Any) -> Any:
        """Add a call, or execute it if all its arguments are constant.

        Args:
            function: Function of torch, or the name of a method of the first argument.
            args: Operands, numbers, parameters, and lists of them.
            kwargs: The same by name.

        Returns:
            Its result: a ``Value``, or a ``Constant``, or for a size a number.

        Raises:
            MixedBatchError: The result cannot be computed for another batch size.
        """
        values = values_in((args, kwargs))
        run = as_function(function)
        if not values and not any(isinstance(item, nn.Parameter) for item in leaves_of((args, kwargs))):
            return self._folded(run, args, kwargs)
        results = [self._run(run, of_lane(args, lane), of_lane(kwargs, lane)) for lane in range(self._lanes)]
        node_args, node_kwargs = self._node_of(args), self._node_of(kwargs)
        if isinstance(function, str):
            node = self._graph.call_method(function, tuple(node_args), node_kwargs)
        else:
            node = self._graph.call_function(function, tuple(node_args), node_kwargs)
        is_raw = all(value.is_raw for value in values) and bool(values)
        return self._traced(node, results, is_raw=is_raw)

    def layer(self, module: nn.Module, constants: Sequence[Constant | None], *args: Any, key: Any = None) -> Any:
        """Add a call of a module in evaluation mode.

        Args:
            module: The module, with its weights.
            constants: Its weights in the file, the most important first.
            args: Arguments of its forward.
            key: Its other properties. A module with the same key and the same weights is called again.
        """
        path = self._store.layer(self.node, module, constants, key)
        existing = self._root.get_submodule(path)
        results = [self._run(existing, of_lane(args, lane), {}) for lane in range(self._lanes)]
        node = self._graph.call_module(path, tuple(self._node_of(args)))
        return self._traced(node, results, is_raw=not constants and all(value.is_raw for value in values_in(args)))

    def item(self, sequence: Value, index: int) -> Value:
        """Return an element of a result that is a tuple."""
        node = self._graph.call_function(operator.getitem, (sequence.node, index))
        value: Value = self._traced(node, [lane[index] for lane in sequence.lanes], is_raw=sequence.is_raw)
        return value

    def parameter(
        self, constant: Constant, layout: str = "", change: Callable[[Tensor], Tensor] | None = None
    ) -> nn.Parameter:
        """Return the trainable parameter of a constant, see ``WeightStore.parameter``."""
        return self._store.parameter(constant, layout, change)

    def read(self, parameter: nn.Parameter) -> Value:
        """Return a value that is a parameter."""
        return Value(self._get(parameter), (parameter.detach(),) * self._lanes)

    # Shapes

    @property
    def batch(self) -> Size:
        """Batch size: a number, or a value that the network reads from its input."""
        return self._batch_size

    @property
    def has_free_batch(self) -> bool:
        """Whether the network is built for any batch size."""
        return self._lanes > _SINGLE_LANE

    def size(self, value: Value | Constant, dim: int) -> Size:
        """Return a size of a tensor: a number if it does not depend on the batch."""
        if isinstance(value, Constant):
            return value.shape[dim]
        sizes = {int(lane.shape[dim]) for lane in value.lanes}
        if len(sizes) == 1:
            return sizes.pop()
        size: Size = self.call("size", value, dim)
        return size

    def finish(self, outputs: Sequence[str]) -> fx.GraphModule:
        """Return the module with the given outputs, in evaluation mode."""
        results = []
        for name in outputs:
            operand = self.operand(name)
            if isinstance(operand, Sizes):
                raise ModelError(f"output '{name}' is a shape, not a tensor: remove it from the outputs of the file")
            results.append(self._node_of(operand))
        self._graph.output(results[0] if len(results) == 1 else tuple(results))
        for node in reversed(self._graph.nodes):
            if not node.users and node.op not in ("placeholder", "output"):
                self._graph.erase_node(node)
        module = fx.GraphModule(self._root, self._graph, class_name="OnnxNetwork")
        module.graph.lint()
        module.meta["origins"] = dict(self._store.origins)
        return module.eval()

    # Execution

    def _run(self, function: Callable[..., Any], args: Any, kwargs: Mapping[str, Any]) -> Any:
        elements = result_elements(function, args, kwargs)
        if elements > MOST_ELEMENTS:
            raise ModelError(
                f"{self.node.where} computes {elements:,} elements, but at most {MOST_ELEMENTS:,} are allowed: import "
                "the network for a smaller input"
            )
        try:
            with torch.no_grad():
                return function(*args, **kwargs)
        except Exception as problem:  # whatever a kernel raises
            message = f"{self.node.where} fails: {first_line(problem)}"
            raise (MixedBatchError if self.has_free_batch else ModelError)(message) from problem

    def _folded(self, function: Callable[..., Any], args: Any, kwargs: Mapping[str, Any]) -> Any:
        constants = [item for item in leaves_of((args, kwargs)) if isinstance(item, Constant)]
        result = self._run(function, of_lane(args, 0), of_lane(kwargs, 0))
        # The largest constant is the weight; others are factors or indices.
        origin = max(constants, key=lambda one: one.tensor.numel()).origin if constants else self.node.output(0)
        if isinstance(result, Tensor):
            return Constant(result, origin)
        return [Constant(item, origin) for item in result] if isinstance(result, (tuple, list)) else result

    def _traced(self, node: fx.Node, lanes: Sequence[Any], *, is_raw: bool) -> Any:
        position = None
        if self.has_free_batch and isinstance(lanes[0], Tensor):
            try:
                position = locate(lanes[0], lanes[1], lanes[2], self.batch_size)
            except MixedBatchError as problem:
                raise MixedBatchError(f"{self.node.where}: {problem}") from problem
        if not isinstance(lanes[0], (Tensor, tuple, list)) and len(set(lanes)) == 1:
            self._graph.erase_node(node)
            return lanes[0]
        return Value(node, tuple(lanes), position, is_raw)

    def _node_of(self, item: Any) -> Any:
        """Return ``item`` with nodes of the graph in the place of operands."""
        if isinstance(item, Value):
            return item.node
        if isinstance(item, nn.Parameter):
            return self._get(item)
        if isinstance(item, Constant):
            return self._get(item.tensor, item.origin)
        return in_containers(item, self._node_of)

    def _get(self, tensor: Tensor, origin: str = "") -> fx.Node:
        return self._graph.get_attr(self._store.tensor(self.node, tensor, origin))
