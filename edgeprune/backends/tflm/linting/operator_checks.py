"""Checks for operators that TFLite Micro cannot run or runs in float, one function for each kind of finding."""

from __future__ import annotations

from collections.abc import Iterator

from edgeprune.backends.tflm.linting.finding import Finding
from edgeprune.backends.tflm.linting.tflite_network import Operator, Tensor, TfliteNetwork, TfliteSubgraph
from edgeprune.operator_facts.tflite_operators import MICRO_CUSTOM_KERNELS, TFLITE


def hybrid(network: TfliteNetwork) -> Iterator[Finding]:
    """Find operators with float activations and integer weights."""
    for op in network.operators:
        first = op.inputs[0] if op.inputs else None
        if TFLITE[op.kind].casts or first is None or not first.is_float:
            continue
        weights = [
            tensor for tensor in op.inputs[1:] if tensor is not None and tensor.is_constant and tensor.is_quantized
        ]
        if weights:
            yield op.finding(
                "error",
                "hybrid-op",
                f"float activations with integer weights ({weights[0].name}): TFLite Micro refuses hybrid operators",
                "quantize weights and activations statically: 'edgeprune build' for a microcontroller does",
            )


def unpacked_weights(network: TfliteNetwork) -> Iterator[Finding]:
    """Find weights that are stored compressed and converted to float for each inference."""
    for op in network.operators:
        first = op.inputs[0] if op.inputs else None
        if op.kind == "DEQUANTIZE" and first is not None and first.is_constant:
            yield op.finding(
                "warning",
                "unpacked-weights",
                f"weights ({first.name}) are converted to float at run time, so the arena contains all of them",
                "quantize weights and activations statically, not only the weights as float16 or int8",
            )


def outside(network: TfliteNetwork) -> Iterator[Finding]:
    """Find content stored outside the flatbuffer, which TFLite Micro does not read."""
    remedy = "write the file again: edgeprune.tflite.tflite_file.pack(edgeprune.tflite.tflite_file.read(path))"
    visited: set[tuple[int, int]] = set()
    for op in network.operators:
        for tensor in op.inputs:
            if tensor is not None and tensor.is_outside and (op.graph, tensor.index) not in visited:
                visited.add((op.graph, tensor.index))
                yield op.finding(
                    "error",
                    "offset-buffer",
                    "its content is stored after the flatbuffer (Buffer.offset), where TFLite Micro does not read it",
                    remedy,
                    tensor=tensor.name,
                )
        if op.has_outside_options:
            yield op.finding(
                "error",
                "offset-buffer",
                "its options are stored after the flatbuffer, where TFLite Micro does not read them",
                remedy,
            )


def dynamic(network: TfliteNetwork) -> Iterator[Finding]:
    """Find shapes that are known only at run time."""
    for number, graph in enumerate(network.graphs):
        for tensor in _tensors(graph):
            if -1 in tensor.shape:
                yield Finding(
                    "error", "dynamic-shape",
                    f"its shape is {list(tensor.shape)}, but TFLite Micro needs fixed sizes to plan memory",
                    "export with fixed shapes, batch 1", tensor=tensor.name, graph=number,
                )  # fmt: skip
        for tensor in graph.inputs:
            if -1 in tensor.signature and -1 not in tensor.shape:
                yield Finding(
                    "note", "open-shape",
                    f"its signature has the open shape {list(tensor.signature)}; TFLite Micro uses "
                    f"{list(tensor.shape)}",
                    "export with fixed shapes, batch 1", tensor=tensor.name, graph=number,
                )  # fmt: skip
    for op in network.operators:
        open_inputs = [op.inputs[index] for index in TFLITE[op.kind].size_inputs if index < len(op.inputs)]
        if TFLITE[op.kind].size_depends_on_values or any(
            tensor is not None and not tensor.is_constant for tensor in open_inputs
        ):
            yield op.finding(
                "error",
                "dynamic-tensor",
                "the size of its output depends on values, but TFLite Micro needs fixed sizes to plan memory",
                "use constant sizes in the network, or compute this part outside it",
            )


def kernel(network: TfliteNetwork) -> Iterator[Finding]:
    """Find operators that TFLite Micro does not support."""
    for op in network.operators:
        if op.kind == "CUSTOM" and op.custom not in MICRO_CUSTOM_KERNELS:
            yield op.finding(
                "error", "no-kernel", f"the custom operator '{op.custom}' has no kernel in TFLite Micro",
                "register a custom kernel in the firmware, or express the operator with builtin operators",
            )  # fmt: skip
        elif op.kind != "CUSTOM" and not TFLITE[op.kind].micro_kernel:
            yield op.finding(
                "error", "no-kernel", "TFLite Micro has no kernel for this operator",
                "replace the operator in the network",
            )  # fmt: skip


def floats(network: TfliteNetwork) -> Iterator[Finding]:
    """Find groups of float operators in a quantized file. A float file gets a single finding."""
    computing = [op for op in network.operators if not TFLITE[op.kind].casts]
    floating = [op for op in computing if any(tensor.is_float for tensor in op.activations)]
    if floating and not any(tensor.is_quantized for op in computing for tensor in op.activations):
        yield Finding(
            "warning",
            "float-model",
            f"no operator is quantized: all {len(floating)} run in float on plain C kernels, with four bytes a value",
            "quantize it: 'edgeprune build' for a microcontroller writes int8",
        )
        return
    for island in _islands(floating):
        kinds = ", ".join(dict.fromkeys(op.custom or op.kind for op in island))
        last = "" if len(island) == 1 else f" to op {island[-1].index}"
        yield island[0].finding(
            "warning",
            "float-island",
            f"{len(island)} float operator{'s' * (len(island) > 1)}{last} between casts in an int8 file: {kinds}",
            "use an operator that has an int8 kernel, such as RELU for ELU",
        )
    activations = {activation for op in floating for activation in _float_activations(op)}
    for number, graph in enumerate(network.graphs):
        for port_kind, tensors in (("input", graph.inputs), ("output", graph.outputs)):
            for tensor in tensors:
                if tensor.is_float and (number, tensor.index) not in activations:
                    yield Finding(
                        "note",
                        "float-port",
                        f"the {port_kind} is float and cast: it needs four bytes a value and one more operator",
                        "quantize with int8 inputs and outputs",
                        tensor=tensor.name,
                        graph=number,
                    )


def _tensors(graph: TfliteSubgraph) -> Iterator[Tensor]:
    tensors_by_index: dict[int, Tensor] = {tensor.index: tensor for tensor in graph.inputs}
    for op in graph.operators:
        tensors_by_index.update((tensor.index, tensor) for tensor in (*op.inputs, *op.outputs) if tensor is not None)
    return iter(tensors_by_index.values())


def _islands(floating: list[Operator]) -> list[list[Operator]]:
    """Return groups of operators that exchange float activations, each in execution order."""
    makers: dict[tuple[int, int], list[Operator]] = {}
    islands: dict[int, list[Operator]] = {}
    for op in floating:
        activations = _float_activations(op)
        adjacent = {id(island): island for activation in activations if (island := makers.get(activation)) is not None}
        largest = max(adjacent.values(), key=len, default=[])
        for key, island in adjacent.items():
            if island is not largest:
                largest.extend(island)
                makers.update((activation, largest) for member in island for activation in _float_activations(member))
                del islands[key]
        largest.append(op)
        islands[id(largest)] = largest
        makers.update((activation, largest) for activation in activations)
    ordered = [sorted(island, key=lambda op: op.index) for island in islands.values()]
    return sorted(ordered, key=lambda island: (island[0].graph, island[0].index))


def _float_activations(op: Operator) -> set[tuple[int, int]]:
    """Return the graph and tensor index of each float activation that the operator reads or writes."""
    return {(op.graph, tensor.index) for tensor in op.activations if tensor.is_float}
