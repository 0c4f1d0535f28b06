"""Operators that change the shape of a tensor, but not its bytes."""

from __future__ import annotations

from edgeprune.backends.c.layer import ANY, Layer, operator


@operator("RESHAPE", "SQUEEZE", "EXPAND_DIMS", is_view=True, types=ANY)
def view(layer: Layer) -> None:
    source, output = layer.bytes_pointer(layer.step.input(0)), layer.bytes_pointer(layer.step.output)
    if source != output:
        layer.statements.append(f"memcpy({output}, {source}, {layer.step.output.bytes});")
