"""Conversion from ONNX to TFLite: read, choose layouts, lower, fuse, write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from onnx import ModelProto

from edgeprune import files, overwrite_guard
from edgeprune.errors import ModelError
from edgeprune.tflite.conversion import tflite_writer
from edgeprune.tflite.conversion.fusing import fuse
from edgeprune.tflite.conversion.layout_views import Shape, channels_last, identity
from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.onnx_graph import OnnxGraph
from edgeprune.tflite.conversion.onnx_patterns import recognize
from edgeprune.tflite.conversion.onnx_reading import check_values, read
from edgeprune.tflite.conversion.ops import registered
from edgeprune.tflite.conversion.redundant_expands import remove_redundant_expands
from edgeprune.tflite.conversion.redundant_nan_guards import remove_nan_guards
from edgeprune.tflite.conversion.tflite_graph import Tensor
from edgeprune.tflite.litert_interpreter import check
from edgeprune.tflite.tflite_file import Port

_MOST_INTEGER = (1 << 31) - 1


@dataclass(frozen=True)
class TfliteConversion:
    """Result of ``convert``: a TFLite file.

    Attributes:
        path: Path of the file.
        file_bytes: Size of the file in bytes.
        inputs: Inputs, in the order of the ONNX file and of the TFLite file.
        outputs: Outputs, in the order of the ONNX file and of the TFLite file.
        operators: Number of TFLite operators of each kind.
    """

    path: Path
    file_bytes: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operators: Mapping[str, int]


def convert(model: Path | str | ModelProto, path: Path | str) -> TfliteConversion:
    """Convert the ONNX ``model`` to a TFLite file, which is written atomically.

    Images are stored with channels last from the input to the output, see ``Port.order``.

    Args:
        model: Path of the model, or the loaded model. All its shapes are fixed.
        path: Path of the ``.tflite`` file.

    Raises:
        InputError: ``path`` is the file of ``model``.
        ModelError: The model is not valid, has dynamic shapes, is too large, or has an operator without a lowering.
    """
    if isinstance(model, (str, Path)):
        overwrite_guard.check_is_not_input(Path(path), [Path(model)])
    source = read(Path(model) if isinstance(model, str) else model)
    recognize(source)
    remove_redundant_expands(source)
    remove_nan_guards(source)
    _check_operators(source)
    _check_integers(source)
    check_values(source)
    low = Lowering(source)
    input_orders = [_input_order(source, name) for name in source.inputs]
    for name, order in zip(source.inputs, input_orders, strict=True):
        low.add_input(name, order)
    for node in source.nodes:
        low.begin(node)
        registered()[node.op].lower(node, low)
    output_orders = [low.add_output(name) for name in source.outputs]
    graph = low.graph
    fuse(graph)
    content = tflite_writer.write(graph, input_orders, output_orders)
    check(content)
    files.write_atomic(Path(path), content)
    return TfliteConversion(
        path=Path(path),
        file_bytes=len(content),
        inputs=_ports(graph.inputs, input_orders),
        outputs=_ports(graph.outputs, output_orders),
        operators=dict(sorted(Counter(op.code for op in graph.ops).items())),
    )


def _check_integers(source: OnnxGraph) -> None:
    """Reject attributes, such as strides and paddings, that exceed the 32 bits of a TFLite file."""
    for node in source.nodes:
        for name, value in node.attributes.items():
            numbers = value if isinstance(value, (list, tuple)) else [value]
            large = next(
                (number for number in numbers if isinstance(number, int) and abs(number) > _MOST_INTEGER), None
            )
            if large is not None:
                raise ModelError(
                    f"{node.where}: attribute '{name}' must be from -{_MOST_INTEGER:,} to {_MOST_INTEGER:,}, but is "
                    f"{large:,}: export the model again"
                )


def _check_operators(source: OnnxGraph) -> None:
    supported = registered()
    unknown = [node for node in source.nodes if node.op not in supported]
    if unknown:
        others = ", ".join(sorted({node.op for node in unknown} - {unknown[0].op}))
        raise ModelError(
            f"{unknown[0].where}: the operator {unknown[0].op} cannot be converted to TFLite"
            f"{f', and neither can {others}' if others else ''}: replace it, or compute it outside the network; the "
            "reference page on operators lists those that can be converted"
        )


def _input_order(source: OnnxGraph, name: str) -> Shape:
    """Return the storage order of an input.

    It is channels last for images, and for inputs that reach an operator with this layout before one with another
    layout.
    """
    rank = len(source.shapes[name])
    if rank == 4:
        return channels_last(rank)
    readers = source.readers()
    pending, visited = [name], {name}
    while pending:
        for node in readers.get(pending.pop(0), []):
            layout = registered()[node.op].layout
            if layout == "channels_last":
                return channels_last(rank)
            if layout == "any":
                new = [output for output in node.outputs if output not in visited]
                pending.extend(new)
                visited.update(new)
    return identity(rank)


def _ports(tensors: list[Tensor], orders: list[Shape]) -> tuple[Port, ...]:
    return tuple(
        Port(tensor.name, tensor.shape, tensor.dtype.name, order) for tensor, order in zip(tensors, orders, strict=True)
    )
