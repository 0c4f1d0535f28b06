"""Importers of constants, shapes, copies and conversions."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from edgeprune.onnx_import.network_builder import NetworkBuilder
from edgeprune.onnx_import.operators.base import importer
from edgeprune.onnx_import.source_graph import SourceNode, torch_dtype
from edgeprune.onnx_import.traced_values import Constant, Sizes, Value, size_vector

_NUMBERS = {"value_float": torch.float32, "value_int": torch.int64}


@importer("Constant")
def constant(node: SourceNode, net: NetworkBuilder) -> None:
    [(name, value)] = node.attributes.items()
    if name == "value":
        tensor = value
    elif name.removesuffix("s") in _NUMBERS:
        tensor = torch.tensor(value, dtype=_NUMBERS[name.removesuffix("s")])
    else:
        raise node.unsupported(f"a constant in the attribute '{name}'", "a dense tensor of numbers")
    net.write(Constant(tensor, node.output(0)))


@importer("ConstantOfShape")
def constant_of_shape(node: SourceNode, net: NetworkBuilder) -> None:
    value = node.get("value")
    number, dtype = (0.0, torch.float32) if value is None else (value.item(), value.dtype)
    sizes = net.sizes(0) or []
    net.write(net.call(torch.full, sizes, number, dtype=dtype))


@importer("Shape")
def shape(node: SourceNode, net: NetworkBuilder) -> None:
    value = net.value(0)
    rank = len(value.shape)
    dims = range(rank)[node.get("start", 0) : node.get("end", rank)]
    net.write(size_vector([net.size(value, dim) for dim in dims], node.output(0)))


@importer("Size")
def size(node: SourceNode, net: NetworkBuilder) -> None:
    number = net.call("numel", net.value(0))
    net.write(number if isinstance(number, Constant) else size_vector([number], node.output(0), is_scalar=True))


@importer("Range")
def number_range(node: SourceNode, net: NetworkBuilder) -> None:
    bounds: list[Any] = []
    dtype = torch.int64
    for index in range(3):
        operand = net.operand(node.inputs[index])
        if isinstance(operand, Sizes):
            bounds.append(operand.items[0])
        else:
            number = net.needed_constant(index, "a bound")
            dtype = number.dtype
            bounds.append(number.tensor.item())
    net.write(net.call(torch.arange, *bounds, dtype=dtype))


@importer("Identity")
def identity(node: SourceNode, net: NetworkBuilder) -> None:
    net.write(net.operand(node.inputs[0]))


@importer("Cast", "CastLike")
def cast(node: SourceNode, net: NetworkBuilder) -> None:
    """Import Cast. All types of floats become float32."""
    value = net.value(0)
    dtype = net.value(1).dtype if node.op == "CastLike" else torch_dtype(node.get("to"))
    if dtype is None:
        raise node.unsupported("a type that PyTorch does not have", "a float, an integer or a boolean")
    net.write(value if value.dtype == dtype else net.call("to", value, dtype))


@importer("Dropout")
def dropout(node: SourceNode, net: NetworkBuilder) -> None:
    """Import Dropout as a module, which is active while the network is trained."""
    value = net.value(0)
    ratio = net.constant(1)
    probability = float(node.get("ratio", 0.5) if ratio is None else ratio.tensor.item())
    if net.is_read(node.output(1)):
        raise node.unsupported("a mask that other nodes read", "used without its second output")
    if isinstance(value, Value) and 0 < probability < 1:
        value = net.layer(nn.Dropout(probability), (), value)
    net.write(value)
