"""C files of a network: kernels, weights, and one function that calls the kernels layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeprune.backends.c.c_source import Constant, comment, identifier
from edgeprune.backends.c.element_functions import with_tables
from edgeprune.backends.c.fused_padding import with_fused_padding
from edgeprune.backends.c.int8_network import Int8Network, Tensor, read_network
from edgeprune.backends.c.layer import Layer, Place, operator_of
from edgeprune.backends.c.memory_planner import MemoryPlan, plan_memory
from edgeprune.backends.litert.litert_session import LiteRTSession
from edgeprune.errors import ModelError

_KERNELS = Path(__file__).parent / "kernels"
_NEEDS: dict[str, tuple[str, ...]] = {
    "fixed_point": (),
    "window": (),
    "taps": ("window",),
    "outputs": ("fixed_point",),
    "packed_bytes": (),
    "dot_product": ("outputs", "packed_bytes"),
    "whole_windows": ("dot_product",),
    "convolution": ("taps", "whole_windows"),
    "depthwise": ("taps", "outputs", "packed_bytes"),
    "fully_connected": ("dot_product",),
    "arithmetic": ("fixed_point",),
    "transposed_convolution": ("window", "outputs"),
    "pooling": ("fixed_point", "taps"),
    "reciprocal": ("fixed_point",),
    "pairs": (),
    "int8_pairs": ("pairs", "reciprocal"),
    "float_pairs": ("pairs",),
    "casts": ("fixed_point",),
    "reduction": (),
    "int8_reduction": ("reduction", "fixed_point"),
    "float_reduction": ("reduction",),
    "matrix_product": ("fixed_point",),
    "resizing": (),
    "selection": (),
    "table": (),
    "movement": (),
    "softmax": ("reciprocal",),
}
"""Kernel files, each with the earlier ones that it uses."""


@dataclass(frozen=True)
class LayerSummary:
    """Layer of generated code.

    Attributes:
        operators: Operators of the file that it computes, in order.
        output: Name of its first output.
        inputs: Shapes of its activations.
        outputs: Shapes of its outputs.
        macs: Multiply-adds.
        constants_bytes: Size of its constants.
    """

    operators: tuple[str, ...]
    output: str
    inputs: tuple[tuple[int, ...], ...]
    outputs: tuple[tuple[int, ...], ...]
    macs: int
    constants_bytes: int


@dataclass(frozen=True)
class GeneratedCode:
    """C code of a network.

    Attributes:
        files: Contents by file name.
        arena_bytes: Size of the static buffer for activations.
        weights_bytes: Size of all constants.
        macs: Multiply-adds of one inference.
        layers: Layers, in order.
    """

    files: dict[str, str]
    arena_bytes: int
    weights_bytes: int
    macs: int
    layers: tuple[LayerSummary, ...]


def generate(path: Path, name: str = "model") -> GeneratedCode:
    """Generate C99 from the int8 TFLite file ``path``.

    Args:
        path: The model file.
        name: Name of the network, from which C identifiers are made.

    Raises:
        ModelError: The file cannot be read, is not int8, or has an operator without C code. The message names the
            tensor or operator.
    """
    network = with_fused_padding(with_tables(read_network(path)))
    _check(network, path)
    plan = plan_memory(network)
    function = identifier(name)
    layers = _layers(network, plan, function)
    constants = _shared([constant for layer in layers for constant in layer.constants])
    files = {
        "model.h": _model_header(network, plan, function),
        "model.c": _model_source(network, plan, layers, function),
        "weights.h": _weights_header(constants),
        "weights.c": _weights_source(constants),
        **_kernel_files(layers),
    }
    return GeneratedCode(
        files,
        plan.arena_bytes,
        sum(constant.bytes for constant in constants),
        sum(layer.macs for layer in layers),
        tuple(_layer_summary(layer) for layer in layers),
    )


def _layer_summary(layer: Layer) -> LayerSummary:
    step = layer.step
    return LayerSummary(
        tuple(part.kind for part in step.parts) or (step.kind,),
        step.outputs[0].name,
        tuple(tensor.shape for tensor in step.activations),
        tuple(tensor.shape for tensor in step.outputs),
        layer.macs,
        sum(constant.bytes for constant in layer.constants),
    )


def _check(network: Int8Network, path: Path) -> None:
    """Check inputs, outputs and operators, and then, with LiteRT, that all shapes fit each other."""
    for tensor in (*network.inputs, *network.outputs):
        if tensor.dtype.name != "int8":
            raise ModelError(
                f"{path}: '{tensor.name}' is {tensor.dtype}, but inputs and outputs of C code must be int8: "
                "quantize them"
            )
    for step in network.steps:
        operator_of(step)
    LiteRTSession(path, kernels="optimized")  # generated code believes the shapes of the file


def _layers(network: Int8Network, plan: MemoryPlan, function: str) -> list[Layer]:
    places = {tensor: Place("arena", offset) for tensor, offset in plan.offsets.items()}
    places.update({tensor: Place(f"in{_number(network.inputs, tensor)}", 0) for tensor in network.inputs})
    places.update({tensor: Place(f"out{_number(network.outputs, tensor)}", 0) for tensor in network.outputs})
    places.update({tensor: Place(places[port].base, offset) for tensor, (port, offset) in plan.in_ports.items()})
    layers = []
    for step in network.steps:
        layer = Layer(step, identifier(step.kind, f"{function}_l{step.index}_"), places)
        operator_of(step).write(layer)
        layers.append(layer)
    return layers


def _number(tensors: Sequence[Tensor], tensor: Tensor) -> str:
    return "" if len(tensors) == 1 else str(tensors.index(tensor))


def _shared(constants: Sequence[Constant]) -> list[Constant]:
    return list({constant.name: constant for constant in constants}.values())


def _signature(network: Int8Network, function: str) -> str:
    arguments = [f"const int8_t *in{_number(network.inputs, tensor)}" for tensor in network.inputs]
    arguments += [f"int8_t *out{_number(network.outputs, tensor)}" for tensor in network.outputs]
    return f"void {function}_run({', '.join(arguments)})"


def _port(tensor: Tensor, role: str) -> str:
    shape = " x ".join(map(str, tensor.shape))
    return comment(
        f"{role} '{tensor.name}': int8, {shape} ({tensor.elements} bytes), real value = {tensor.scale:.9g} * (value - "
        f"{tensor.zero_point})"
    )


def _model_header(network: Int8Network, plan: MemoryPlan, function: str) -> str:
    upper = function.upper()
    lines = [
        "/* Generated by EdgePrune. */",
        f"#ifndef {upper}_MODEL_H",
        f"#define {upper}_MODEL_H",
        "",
        "#include <stdint.h>",
        "",
        *(_port(tensor, "Input") for tensor in network.inputs),
        *(_port(tensor, "Output") for tensor in network.outputs),
        *(f"#define {upper}_IN{_number(network.inputs, tensor)}_BYTES {tensor.bytes}" for tensor in network.inputs),
        *(f"#define {upper}_OUT{_number(network.outputs, tensor)}_BYTES {tensor.bytes}" for tensor in network.outputs),
        f"#define {upper}_ARENA_BYTES {plan.arena_bytes} /* static buffer, without inputs and outputs */",
        "",
        "/* Runs the network once. Inputs and outputs must not overlap. Not reentrant: the arena is static. */",
        f"{_signature(network, function)};",
        "",
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def _model_source(network: Int8Network, plan: MemoryPlan, layers: Sequence[Layer], function: str) -> str:
    lines = [
        "/* Generated by EdgePrune. */",
        '#include "model.h"',
        "",
        '#include "kernels.h"',
        '#include "weights.h"',
        "",
    ]
    if plan.arena_bytes:
        if all(tensor.dtype.name == "int8" for tensor in plan.offsets):
            lines += [f"static int8_t arena[{plan.arena_bytes}];", ""]
        else:
            lines += ["static union {", "  float alignment;", f"  int8_t bytes[{plan.arena_bytes}];", "} memory;"]
            lines += ["static int8_t *const arena = memory.bytes;", ""]
    for layer in layers:
        for definition in layer.structures:
            lines += [definition, ""]
    lines.append(f"{_signature(network, function)} {{")
    for layer in layers:
        lines.append(f"  {comment(_summary(layer))}")
        lines += [f"  {statement}" for statement in layer.statements]
    return "\n".join([*lines, "}"]) + "\n"


def _summary(layer: Layer) -> str:
    step = layer.step
    sources = ", ".join("x".join(map(str, tensor.shape)) for tensor in step.activations)
    results = ", ".join("x".join(map(str, tensor.shape)) for tensor in step.outputs)
    weights = sum(constant.bytes for constant in layer.constants)
    details = [
        f"{layer.macs:,} multiply-adds" if layer.macs else "",
        f"{weights:,} bytes of constants" if weights else "",
    ]
    suffix = "".join(f", {detail}" for detail in details if detail)
    return f"{step.index}: {step.name}, {sources} -> {results}{suffix}"


def _weights_header(constants: Sequence[Constant]) -> str:
    lines = [
        "/* Generated by EdgePrune. */",
        "#ifndef EP_WEIGHTS_H",
        "#define EP_WEIGHTS_H",
        "",
        "#include <stdint.h>",
        "",
    ]
    lines += [f"extern {constant.declaration};" for constant in constants]
    return "\n".join([*lines, "", "#endif"]) + "\n"


def _weights_source(constants: Sequence[Constant]) -> str:
    return "\n".join(
        ["/* Generated by EdgePrune. */", '#include "weights.h"', "", *(one.definition() for one in constants)]
    )


def _kernel_files(layers: Sequence[Layer]) -> dict[str, str]:
    names = {name for layer in layers for name in layer.kernels}
    for name in reversed(_NEEDS):
        if name in names:
            names.update(_NEEDS[name])
    used = [name for name in _NEEDS if name in names]
    headers, sources = (
        [path.read_text(encoding="utf-8") for name in used if (path := _KERNELS / f"{name}.{suffix}").exists()]
        for suffix in ("h", "c")
    )
    start = (_KERNELS / "prelude.h").read_text(encoding="utf-8")
    header = [
        "/* Kernels of EdgePrune. */",
        "#ifndef EP_KERNELS_H",
        "#define EP_KERNELS_H",
        "",
        start,
        *headers,
        "#endif",
        "",
    ]
    return {
        "kernels.h": "\n".join(header),
        "kernels.c": "\n".join(["/* Kernels of EdgePrune. */", '#include "kernels.h"', "", *sources]),
    }
