"""Pooling and means over positions."""

from __future__ import annotations

from edgeprune.backends.c.layer import Layer, operator
from edgeprune.backends.c.quantized_outputs import limits
from edgeprune.backends.c.windows import Window


@operator("AVERAGE_POOL_2D", "MAX_POOL_2D")
def pooling(layer: Layer) -> None:
    step, options = layer.step, layer.step.options
    source, output = step.input(0), step.output
    low, high = limits(options.fusedActivationFunction, output, step.name)
    fields = [
        ("window", Window.of(step, (options.filterHeight, options.filterWidth)).initializer()),
        ("low", str(low)),
        ("high", str(high)),
    ]
    function = "ep_pool_average" if step.kind == "AVERAGE_POOL_2D" else "ep_pool_max"
    layer.call_each_sample("pooling", function, "ep_pooling", fields, source)
