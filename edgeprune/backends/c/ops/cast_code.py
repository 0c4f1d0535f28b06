"""Conversion between int8 and float."""

from __future__ import annotations

from edgeprune.backends.c.c_source import float_literal
from edgeprune.backends.c.layer import FLOAT, INT8, Layer, operator
from edgeprune.errors import ModelError


@operator("DEQUANTIZE", "QUANTIZE", types=INT8 | FLOAT, casts=True)
def cast(layer: Layer) -> None:
    step = layer.step
    source, output = step.input(0), step.output
    if source.dtype == output.dtype:
        raise ModelError(f"{step.name} must convert between int8 and float32, but both are {source.dtype}")
    layer.require("casts")
    whole = output if step.kind == "QUANTIZE" else source
    arguments = f"{float_literal(whole.scale)}, {whole.zero_point}, {output.elements}"
    pointers = f"{layer.pointer(source)}, {layer.pointer(output)}"
    layer.statements.append(f"ep_{step.kind.lower()}({arguments}, {pointers});")
