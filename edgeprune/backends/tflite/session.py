"""Runs TFLite files on LiteRT, with inputs and outputs in the layout of the ONNX file they came from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edgeprune.backends.feeding import Array, Inputs, named, portions
from edgeprune.backends.tflite.port import Port
from edgeprune.errors import ModelError


def check(content: bytes) -> None:
    """See to it that LiteRT takes a file with this content.

    Raises:
        ModelError: It does not.
    """
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        Interpreter(model_content=content, experimental_op_resolver_type=plain).allocate_tensors()
    except (RuntimeError, ValueError) as problem:
        raise ModelError(f"the network cannot run as TFLite: {problem}") from problem


class Session:
    """A loaded file.

    Args:
        path: Of the file.
        inputs: Its inputs, in order.
        outputs: Its outputs, in order.
        threads: Of one inference.

    Raises:
        ModelError: LiteRT cannot load it.
    """

    def __init__(self, path: Path, inputs: Sequence[Port], outputs: Sequence[Port], *, threads: int = 1) -> None:
        self.path = path
        self._inputs, self._outputs = tuple(inputs), tuple(outputs)
        try:
            self._interpreter = Interpreter(str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as problem:
            raise ModelError(f"LiteRT cannot load {path}: {problem}") from problem

    def predict(self, inputs: Inputs) -> list[Array]:
        """Run any number of samples, in portions of the file's batch size; dimension 0 is the batch everywhere.

        Args:
            inputs: In the layout of the ONNX file.

        Returns:
            Each output (N, ...) in the layout of the ONNX file.

        Raises:
            ModelError: They are not the inputs that the file takes, or LiteRT fails.
        """
        feed = named(inputs, [port.name for port in self._inputs], self.path)
        size = self._inputs[0].shape[self._inputs[0].order.index(0)]
        parts = [
            [output[:count] for output in self.run(list(portion.values()))] for portion, count in portions(feed, size)
        ]
        return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Run one inference; inputs and outputs are in the layout of the ONNX file.

        Raises:
            ModelError: An input has another shape or type, or LiteRT fails.
        """
        try:
            for details, port, values in zip(self._interpreter.get_input_details(), self._inputs, inputs, strict=True):
                self._interpreter.set_tensor(details["index"], port.stored(values))
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as problem:
            raise ModelError(f"{self.path} fails on LiteRT: {problem}") from problem
        return [
            port.restored(self._interpreter.get_tensor(details["index"]))
            for details, port in zip(self._interpreter.get_output_details(), self._outputs, strict=True)
        ]
