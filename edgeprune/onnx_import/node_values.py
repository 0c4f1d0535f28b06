"""Values of a file by name, and the inputs and outputs of the node that is being imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from edgeprune.errors import ModelError
from edgeprune.onnx_import.source_graph import SourceNode
from edgeprune.onnx_import.traced_values import Constant, Operand, Size, Sizes, Value


class NodeValues:
    """Values of a file that are known while its nodes are imported in order.

    Args:
        initializers: Constant tensors of the file by name.
        readers: Nodes that read each value.

    Attributes:
        node: Node that is being imported.
    """

    def __init__(self, initializers: Mapping[str, Tensor], readers: Mapping[str, Sequence[SourceNode]]) -> None:
        self._values: dict[str, Operand] = {name: Constant(tensor, name) for name, tensor in initializers.items()}
        self._readers = readers
        self.node = SourceNode("", "", 0, (), ())

    def operand(self, name: str) -> Operand:
        """Return the value ``name`` of the file."""
        if name not in self._values:
            raise ModelError(f"{self.node.where}: its input '{name}' is not computed by an earlier node")
        return self._values[name]

    def value(self, index: int) -> Value | Constant:
        """Return an input of the node, as a tensor."""
        operand = self.operand(self.node.inputs[index])
        if isinstance(operand, Sizes):
            raise self.node.unsupported("a shape that depends on the batch as its input", "a tensor")
        return operand

    def constant(self, index: int) -> Constant | None:
        """Return a constant input of the node; None if it is omitted or computed."""
        name = self.node.input(index)
        operand = self.operand(name) if name else None
        return operand if isinstance(operand, Constant) else None

    def needed_constant(self, index: int, role: str) -> Constant:
        """Return an input of the node that must be constant."""
        constant = self.constant(index)
        if constant is None:
            raise self.node.unsupported(f"{role} that depends on the inputs of the network", "constant")
        return constant

    def numbers(self, index: int, attribute: str = "") -> list[int] | None:
        """Return integers that are an input of the node in newer opsets, and an attribute in older ones."""
        if attribute and attribute in self.node.attributes:
            value = self.node.attributes[attribute]
            return [int(value)] if isinstance(value, int) else [int(number) for number in value]
        if not self.node.input(index):
            return None
        constant = self.needed_constant(index, attribute or f"input {index}")
        return [int(number) for number in constant.tensor.reshape(-1).tolist()]

    def sizes(self, index: int, attribute: str = "") -> list[Size] | None:
        """Return integers like ``numbers``, of which some may depend on the batch."""
        name = self.node.input(index)
        operand = self.operand(name) if name else None
        return list(operand.items) if isinstance(operand, Sizes) else [*(self.numbers(index, attribute) or [])] or None

    def only_reader(self, name: str) -> SourceNode | None:
        """Return the node that reads a value, if there is exactly one."""
        readers = self._readers.get(name, ())
        return readers[0] if len(readers) == 1 else None

    def is_read(self, name: str) -> bool:
        """Return whether a node or the output of the network reads a value."""
        return bool(self._readers.get(name))

    def is_computed(self, name: str) -> bool:
        """Return whether a value of the file is a constant or was computed by an earlier node."""
        return name in self._values

    def is_imported(self, node: SourceNode) -> bool:
        """Return whether the outputs of ``node`` were computed together with those of an earlier node."""
        return all(name in self._values for name in node.outputs if name)

    def write(self, operand: Operand, index: int = 0) -> None:
        """Set an output of the node."""
        if self.node.output(index):
            self._values[self.node.output(index)] = operand

    def write_as(self, name: str, operand: Operand) -> None:
        """Set the value ``name`` of the file, an output of a node that is imported together with this one."""
        self._values[name] = operand

    def forget(self, names: Sequence[str]) -> None:
        """Free the results of the examples for values that no later node reads."""
        for name in names:
            self._values.pop(name, None)
