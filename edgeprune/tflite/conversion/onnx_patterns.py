"""Recognition of GELU, which exporters decompose: TFLite has GELU, but no error function."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np

from edgeprune.tflite.conversion.onnx_graph import Node, OnnxGraph


def recognize(graph: OnnxGraph) -> None:
    """Replace ``x * 0.5 * (1 + erf(x / sqrt 2))``, with its factors in any order, by Gelu(x).

    Without the factor 0.5, which simplifiers may move into the next layer, it is replaced by 2 * Gelu(x).
    """
    finder = _Finder(graph)
    for erf in [node for node in graph.nodes if node.op == "Erf"]:
        match = finder.gelu(erf)
        if match is not None and match[0] in graph.shapes:
            _replace(graph, *match)


def _replace(graph: OnnxGraph, x: str, nodes: list[Node], factor: float) -> None:
    last = nodes[-1]
    position = graph.nodes.index(last)
    new = [replace(last, op="Gelu", inputs=[x], attributes={})]
    if factor != 1:
        half, constant = f"{last.outputs[0]}/half", f"{last.outputs[0]}/factor"
        graph.shapes[half], graph.dtypes[half] = graph.shapes[x], graph.dtypes[x]
        graph.constants[constant] = np.array(factor, np.float32)
        new = [replace(new[0], name=half, outputs=[half]), replace(last, op="Mul", inputs=[half, constant])]
    inner = {id(node) for node in nodes}
    graph.nodes[position : position + 1] = new
    graph.nodes = [node for node in graph.nodes if id(node) not in inner]


class _Finder:
    def __init__(self, graph: OnnxGraph) -> None:
        self._graph = graph
        self._producers = graph.producers()
        self._readers = graph.readers()

    def gelu(self, erf: Node) -> tuple[str, list[Node], float] | None:
        """Match a Gelu around ``erf``; return its input, its nodes (the last computes the result), and its factor."""
        scaled = self._producers.get(erf.inputs[0])
        x = None if scaled is None else self._scaled(scaled)
        plus_one = self._sole_reader(erf)
        if scaled is None or x is None or plus_one is None or plus_one.op != "Add":
            return None
        if self._scalar(self._other(plus_one, erf.outputs[0])) != 1:
            return None
        first = self._sole_reader(plus_one)
        second = None if first is None else self._sole_reader(first)
        for last in (second, first):
            product = self._product(last, {plus_one.outputs[0], x}) if last is not None else None
            if product is not None and last is not None:
                inner, halves = product
                return x, [scaled, erf, plus_one, *inner, last], 2 * 0.5**halves
        return None

    def _scaled(self, node: Node) -> str | None:
        """Return the dividend of a division by the square root of 2; None for other nodes."""
        if len(self._readers.get(node.outputs[0], [])) != 1 or node.op not in ("Mul", "Div"):
            return None
        divisor = sqrt(2) if node.op == "Div" else sqrt(0.5)
        for name in node.inputs[1:] if node.op == "Div" else node.inputs:
            value = self._scalar(name)
            if value is not None and np.isclose(value, divisor, rtol=1e-5):
                return self._other(node, name)
        return None

    def _product(self, last: Node, atoms: set[str]) -> tuple[list[Node], int] | None:
        """Match a product of ``atoms`` and factors 0.5 at ``last``; return its inner nodes and the number of halves."""
        inner: list[Node] = []
        factors: list[str] = []
        pending = [last]
        while pending:
            node = pending.pop()
            if node.op != "Mul":
                return None
            for name in node.inputs:
                producer = self._producers.get(name)
                if name not in atoms and producer is not None and len(self._readers[name]) == 1:
                    inner.append(producer)
                    pending.append(producer)
                else:
                    factors.append(name)
        halves = [name for name in factors if self._scalar(name) == 0.5]
        others = [name for name in factors if name not in halves]
        return (inner, len(halves)) if len(halves) < 2 and sorted(others) == sorted(atoms) else None

    def _sole_reader(self, node: Node) -> Node | None:
        name = node.outputs[0]
        readers = self._readers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self._graph.outputs else None

    def _scalar(self, name: str) -> float | None:
        value = self._graph.constants.get(name)
        return float(value.item()) if value is not None and value.size == 1 else None

    @staticmethod
    def _other(node: Node, name: str) -> str:
        return node.inputs[1] if node.inputs[0] == name else node.inputs[0]
