"""Importers of matrix products. Products with a constant matrix become linear layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeprune.onnx_import.batch_constants import for_any_batch
from edgeprune.onnx_import.network_builder import NetworkBuilder
from edgeprune.onnx_import.operators.base import importer
from edgeprune.onnx_import.operators.trainable import trainable
from edgeprune.onnx_import.source_graph import SourceNode
from edgeprune.onnx_import.traced_values import Constant, Value


@importer("Gemm")
def gemm(node: SourceNode, net: NetworkBuilder) -> None:
    """Import Gemm, ``alpha * A @ B + beta * C``, as a linear layer if B and C are constant and fit one."""
    left, right = net.value(0), net.value(1)
    added = net.value(2) if node.input(2) else None
    alpha, beta = float(node.get("alpha", 1.0)), float(node.get("beta", 1.0))
    if node.get("transA", 0):
        left = net.call(torch.transpose, left, 0, 1)
    transposed = bool(node.get("transB", 0))
    if isinstance(left, Value) and isinstance(right, Constant):
        outputs = right.shape[0] if transposed else right.shape[1]
        bias = added if isinstance(added, Constant) and _is_bias(added, outputs) else None
        if added is None or bias is not None:
            net.write(_linear(net, left, right, bias, transposed=transposed, alpha=alpha, beta=beta))
            return
    product = net.call(torch.matmul, left, net.call(torch.transpose, right, 0, 1) if transposed else right)
    if alpha != 1:
        product = net.call(torch.mul, product, alpha)
    if added is not None and beta != 0:
        product, added = for_any_batch(net, product, added)
        scaled = added if beta == 1 else net.call(torch.mul, added, beta)
        product = net.call(torch.add, product, trainable(net, scaled))
    net.write(product)


@importer("MatMul")
def matmul(node: SourceNode, net: NetworkBuilder) -> None:
    """Import MatMul. With a constant matrix, it is a linear layer, and a following Add of a constant is its bias."""
    left, right = net.value(0), net.value(1)
    if isinstance(left, Value) and isinstance(right, Constant) and len(right.shape) == 2 and len(left.shape) > 1:
        reader = net.only_reader(node.output(0))
        bias = None
        if reader is not None and reader.op == "Add":
            names = [name for name in reader.inputs if name != node.output(0)]
            operand = net.operand(names[0]) if len(names) == 1 and net.is_computed(names[0]) else None
            if isinstance(operand, Constant) and _is_bias(operand, right.shape[1]):
                bias = operand
        result = _linear(net, left, right, bias)
        if bias is not None and reader is not None:
            net.write_as(reader.outputs[0], result)
        else:
            net.write(result)
        return
    if isinstance(left, Constant) and isinstance(right, Value):
        net.write(net.call(torch.matmul, trainable(net, left), right))
    else:
        net.write(net.call(torch.matmul, left, trainable(net, right) if isinstance(left, Value) else right))


@importer("Einsum")
def einsum(node: SourceNode, net: NetworkBuilder) -> None:
    operands = [net.value(index) for index in range(len(node.inputs))]
    if all(isinstance(operand, Constant) for operand in operands):
        net.write(net.call(torch.einsum, node.get("equation"), *operands))
    else:
        net.write(net.call(torch.einsum, node.get("equation"), *(trainable(net, operand) for operand in operands)))


def _linear(
    net: NetworkBuilder,
    value: Value,
    weight: Constant,
    bias: Constant | None,
    *,
    transposed: bool = False,
    alpha: float = 1.0,
    beta: float = 1.0,
) -> Value:
    """Add a linear layer with the constants, scaled by ``alpha`` and ``beta``; torch stores (outputs, inputs)."""
    outputs, inputs = weight.shape if transposed else weight.shape[::-1]
    module = nn.Linear(inputs, outputs, bias=False, device="meta")  # without random initial weights

    def change(tensor: Tensor) -> Tensor:
        return (tensor if transposed else tensor.t()) * alpha

    module.weight = net.parameter(weight, f"linear{transposed}{alpha}", change)
    if bias is not None:
        module.bias = net.parameter(
            bias, f"linear{beta}{outputs}", lambda tensor: (tensor * beta).reshape(-1).expand(outputs)
        )
    result: Value = net.layer(module, [weight, bias], value, key=(transposed, alpha, beta))
    return result


def _is_bias(constant: Constant, outputs: int) -> bool:
    """Return whether a constant has one number for each output, or one for all of them."""
    if not constant.dtype.is_floating_point or constant.tensor.numel() not in (1, outputs):
        return False
    return all(size == 1 for size in constant.shape[:-1]) and (not constant.shape or constant.shape[-1] in (1, outputs))
