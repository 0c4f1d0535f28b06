"""Functions of one element, as tables of 256 entries. TensorFlow Lite Micro itself computes the entries."""

from __future__ import annotations

from edgeprune.backends.c.element_functions import TABLE
from edgeprune.backends.c.layer import Layer, operator
from edgeprune.backends.c.reference_table import reference_table


@operator(TABLE, in_place=True)
def table(layer: Layer) -> None:
    source, output = layer.step.input(0), layer.step.output
    layer.require("table")
    name = layer.constant("table", reference_table(layer.step))
    layer.statements.append(f"ep_look_up({name}, {source.elements}, {layer.pointer(source)}, {layer.pointer(output)});")
