"""What an example is: an ONNX model of random sizes with one operator, and what is fed to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from tests.conformance.examples.base import Draw

Array = NDArray[Any]


@dataclass(frozen=True)
class Example:
    model: onnx.ModelProto
    feed: Mapping[str, Array]


class Maker:
    """Draws sizes and values, and puts models together."""

    def __init__(self, draw: Draw, seed: int) -> None:
        self.draw = draw
        self.rng = np.random.default_rng(seed)

    def values(self, *shape: int, low: float | None = None) -> Array:
        """Normal values, or positive ones from ``low`` to ``low`` + 3."""
        samples = self.rng.standard_normal(shape) if low is None else low + 3 * self.rng.random(shape)
        return np.asarray(samples, np.float32)

    def image(self, channels: int | None = None, *, least: int = 5, most: int = 9) -> Array:
        """(N, C, H, W)."""
        sizes = [self.draw.size(least, most) for _ in range(2)]
        return self.values(self.draw.size(1, 2), channels or self.draw.size(1, 6), *sizes)

    def volume(self, channels: int | None = None) -> Array:
        """(N, C, D, H, W)."""
        sizes = [self.draw.size(5, 6) for _ in range(3)]
        return self.values(self.draw.size(1, 2), channels or self.draw.size(1, 4), *sizes)

    def signal(self, channels: int | None = None) -> Array:
        """(N, C, L)."""
        return self.values(self.draw.size(1, 2), channels or self.draw.size(1, 6), self.draw.size(6, 12))

    def tensor(self, *, least: int = 1, most: int = 4, low: float | None = None) -> Array:
        """Of any rank from ``least`` to ``most``."""
        return self.values(*(self.draw.size(1, 5) for _ in range(self.draw.size(least, most))), low=low)

    def model(
        self,
        op: str,
        inputs: Sequence[Array],
        constants: Sequence[Array | None] = (),
        *,
        outputs: int = 1,
        opset: int = 17,
        **attributes: Any,
    ) -> Example:
        """One node that reads ``inputs``, each through a Transpose or not, then ``constants``."""
        nodes, feed, names = [], {}, []
        for index, values in enumerate(inputs):
            order = self.draw.order(values.ndim).tolist() if values.ndim > 1 else [0]
            name = f"x{index}"
            if self.draw.one_of(True, False) and order != sorted(order):
                feed[name] = np.ascontiguousarray(values.transpose(np.argsort(order)))
                nodes.append(helper.make_node("Transpose", [name], [f"{name}_moved"], f"move{index}", perm=order))
                name = f"{name}_moved"
            else:
                feed[name] = values
            names.append(name)
        initializers = []
        for index, values in enumerate(constants):
            names.append("" if values is None else f"c{index}")
            if values is not None:
                initializers.append(numpy_helper.from_array(np.asarray(values), f"c{index}"))
        while not names[-1]:
            names.pop()
        options = {name: value for name, value in attributes.items() if value is not None}
        results = [f"y{index}" for index in range(outputs)]
        nodes.append(helper.make_node(op, names, results, "tested", **options))
        return Example(assemble(nodes, feed, results, initializers, opset), feed)


def assemble(
    nodes: Sequence[onnx.NodeProto],
    feed: Mapping[str, Array],
    results: Sequence[str],
    initializers: Sequence[onnx.TensorProto] = (),
    opset: int = 17,
) -> onnx.ModelProto:
    """A model whose inputs have the shapes and types of ``feed``."""
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in feed.items()
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in results]
    graph = helper.make_graph(list(nodes), "example", inputs, outputs, list(initializers))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model, data_prop=True)  # gives the outputs their types


Build = Callable[[Maker], Example]


class ExampleRegistry:
    """Examples by operator."""

    def __init__(self) -> None:
        self._builds: dict[str, list[Build]] = {}

    def example(self, *ops: str) -> Callable[[Callable[..., Example]], Callable[..., Example]]:
        """Decorator: the function makes an example of the operator; of several, it is also given the name of one."""

        def add(build: Callable[..., Example]) -> Callable[..., Example]:
            for op in ops:
                of_one: Build = build if len(ops) == 1 else lambda make, op=op: build(make, op)
                self._builds.setdefault(op, []).append(of_one)
            return build

        return add

    def examples(self) -> Mapping[str, Sequence[Build]]:
        """All examples by operator."""
        return dict(self._builds)


_REGISTRY = ExampleRegistry()
example, examples = _REGISTRY.example, _REGISTRY.examples


def reference(example: Example) -> list[Array]:
    """What ONNX Runtime computes without optimizations."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        example.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, dict(example.feed))
