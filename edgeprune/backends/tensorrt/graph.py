"""An ONNX graph with Q/DQ pairs: who makes and who reads each value, and what stands behind a pair."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


class Graph:
    """Who makes and who reads each value."""

    def __init__(self, model: ModelProto) -> None:
        self.model = model
        self.producer: dict[str, NodeProto] = {name: node for node in model.graph.node for name in node.output}
        self.consumers: dict[str, list[tuple[NodeProto, int]]] = defaultdict(list)
        for node in model.graph.node:
            for index, name in enumerate(node.input):
                self.consumers[name].append((node, index))
        self.constants: dict[str, TensorProto] = {tensor.name: tensor for tensor in model.graph.initializer}
        self.outputs = {value.name for value in model.graph.output}

    def made_by(self, name: str, *kinds: str) -> NodeProto | None:
        node = self.producer.get(name)
        return node if node is not None and node.op_type in kinds else None

    def constant(self, name: str) -> NDArray[Any] | None:
        tensor = self.constants.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def pair_source(self, name: str) -> str | None:
        """The activation that reaches ``name`` through Q and DQ; None if it does not."""
        dequantize = self.made_by(name, "DequantizeLinear")
        quantize = self.made_by(dequantize.input[0], "QuantizeLinear") if dequantize else None
        return quantize.input[0] if quantize and quantize.input[0] not in self.constants else None

    def stored(self, name: str) -> TensorProto | None:
        """The constant that reaches ``name`` through DQ, with or without Q before it."""
        dequantize = self.made_by(name, "DequantizeLinear")
        if dequantize is None:
            return None
        quantize = self.made_by(dequantize.input[0], "QuantizeLinear")
        return self.constants.get(quantize.input[0] if quantize else dequantize.input[0])

    def main_inputs(self, add: NodeProto) -> list[int]:
        """Inputs of an addition that come straight from a convolution or matrix product whose only reader this is."""
        found = []
        for index, name in enumerate(add.input):
            source = self.pair_source(name) or name
            alone = len(self.consumers[source]) == 1 and source not in self.outputs
            if alone and self.made_by(source, *WEIGHTED):
                found.append(index)
        return [] if any(name in self.constants or self.stored(name) for name in add.input) else found

    def main_input(self, add: NodeProto) -> int | None:
        """The input of an addition that is fused with an int8 kernel; None if the addition stays by itself."""
        for index in self.main_inputs(add):
            weighted = self.made_by(self.pair_source(add.input[index]) or add.input[index], *WEIGHTED)
            if weighted is not None and self.pair_source(weighted.input[0]):
                return index
        return None

    def wants_pair(self, node: NodeProto, index: int) -> bool:
        """Whether a pair before input ``index`` of ``node`` can be part of an int8 kernel."""
        if node.op_type == "Add":
            return self.main_input(node) is not None
        return node.op_type in WEIGHTED and index < 2
