"""Products of batches of matrices of activations."""

from __future__ import annotations

from edgeprune.backends.c.box_copy import steps_of
from edgeprune.backends.c.fixed_point import quantized_multiplier
from edgeprune.backends.c.int8_network import Tensor
from edgeprune.backends.c.layer import Layer, operator
from edgeprune.errors import ModelError

_BATCH_RANK = 3


@operator("BATCH_MATMUL")
def matrix_product(layer: Layer) -> None:
    first, second, output, options = layer.step.input(0), layer.step.input(1), layer.step.output, layer.step.options
    batches = output.shape[:-2]
    if len(batches) > _BATCH_RANK:
        raise ModelError(f"{layer.step.name} has more than {_BATCH_RANK} batch dimensions: reshape its inputs")
    mantissa, shift = quantized_multiplier(float(first.scale * second.scale) / output.scale)
    rows, columns = output.shape[-2:]
    inner = first.shape[-2 if options.adjX else -1]
    fields = [
        ("batches", _list((1,) * (_BATCH_RANK - len(batches)) + batches)),
        ("rows", str(rows)),
        ("columns", str(columns)),
        ("inner", str(inner)),
        ("first", _factor(first, len(output.shape), is_first=True, transposed=options.adjX)),
        ("second", _factor(second, len(output.shape), is_first=False, transposed=options.adjY)),
        ("multiplier", str(mantissa)),
        ("shift", str(shift)),
        ("out_offset", str(output.zero_point)),
    ]
    layer.macs = output.elements * inner
    pointers = [layer.pointer(tensor) for tensor in (first, second, output)]
    layer.call("matrix_product", "ep_multiply_matrices", "ep_matrix_product", fields, *pointers)


def _factor(tensor: Tensor, rank: int, *, is_first: bool, transposed: bool) -> str:
    shape = (1,) * (rank - len(tensor.shape)) + tensor.shape
    *batch_steps, row_step, column_step = steps_of(shape)
    steps = [step if size > 1 else 0 for step, size in zip(batch_steps, shape, strict=False)]
    line, inner = (row_step, column_step) if is_first != transposed else (column_step, row_step)
    whole = _list([0] * (_BATCH_RANK - len(steps)) + steps)
    return f"{{.steps = {whole}, .line_step = {line}, .inner_step = {inner}, .offset = {-tensor.zero_point}}}"


def _list(values: tuple[int, ...] | list[int]) -> str:
    return "{" + ", ".join(map(str, values)) + "}"
