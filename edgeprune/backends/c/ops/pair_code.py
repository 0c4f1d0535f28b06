"""Element-wise operators on two tensors other than int8 sums and products."""

from __future__ import annotations

from edgeprune.backends.c.broadcasting import braced, broadcast
from edgeprune.backends.c.fixed_point import quantized_multiplier
from edgeprune.backends.c.layer import FLOAT, INT8, Layer, operator
from edgeprune.backends.c.quantized_outputs import float_limits, limits
from edgeprune.errors import ModelError

_MOST_SHIFT = 22
"""Largest shift of the factor of a quotient for which each quotient is scaled down."""


@operator("MAXIMUM", "MINIMUM", types=INT8 | FLOAT)
def extremum(layer: Layer) -> None:
    if layer.step.output.dtype.name == "float32":
        write_floats(layer)
    else:
        _write(layer, f"ep_{layer.step.kind.lower()}", [])


@operator("DIV", types=INT8 | FLOAT)
def quotient(layer: Layer) -> None:
    first, second, output = layer.step.input(0), layer.step.input(1), layer.step.output
    if output.dtype.name == "float32":
        write_floats(layer)
        return
    mantissa, shift = quantized_multiplier(first.scale / (second.scale * output.scale))
    if shift > _MOST_SHIFT:
        raise ModelError(
            f"{layer.step.name} has an output scale that is too small for C code: quantize the model again"
        )
    low, high = limits(layer.step.options.fusedActivationFunction, output, layer.step.name)
    fields = [("multiplier", mantissa), ("shift", shift), ("low", low), ("high", high)]
    _write(layer, "ep_divide", [(name, str(value)) for name, value in fields])


@operator("PRELU", types=INT8 | FLOAT)
def parametric_relu(layer: Layer) -> None:
    source, slope, output = layer.step.input(0), layer.step.input(1), layer.step.output
    if output.dtype.name == "float32":
        write_floats(layer)
        return
    positive = quantized_multiplier(source.scale / output.scale)
    negative = quantized_multiplier(source.scale * slope.scale / output.scale)
    fields = [
        ("multiplier", str(negative[0])),
        ("shift", str(negative[1])),
        ("positive_multiplier", str(positive[0])),
        ("positive_shift", str(positive[1])),
    ]
    _write(layer, "ep_parametric_relu", fields)


def write_floats(layer: Layer) -> None:
    """Add the operator on floats."""
    step = layer.step
    first, second = step.input(0), step.input(1)
    low, high = float_limits(getattr(step.options, "fusedActivationFunction", 0), step.name)
    sizes, steps = broadcast(step)
    fields = [
        ("sizes", braced(sizes)),
        ("first_steps", braced(steps[0])),
        ("second_steps", braced(steps[1])),
        ("low", low),
        ("high", high),
    ]
    pointers = [layer.pointer(tensor) for tensor in (first, second, step.output)]
    layer.call("float_pairs", f"ep_{step.kind.lower()}_floats", "ep_float_pairs", fields, *pointers)


def _write(layer: Layer, function: str, factors: list[tuple[str, str]]) -> None:
    first, second, output = layer.step.input(0), layer.step.input(1), layer.step.output
    sizes, steps = broadcast(layer.step)
    fields = [
        ("sizes", braced(sizes)),
        ("first_steps", braced(steps[0])),
        ("second_steps", braced(steps[1])),
        ("first_offset", str(-first.zero_point)),
        ("second_offset", str(-second.zero_point)),
        ("out_offset", str(output.zero_point)),
        *factors,
    ]
    pointers = [layer.pointer(tensor) for tensor in (first, second, output)]
    layer.call("int8_pairs", function, "ep_pairs", fields, *pointers)
