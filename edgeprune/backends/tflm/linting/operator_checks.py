"""Checks for operators that TFLite Micro cannot run or runs in float: one function a kind of finding."""

from __future__ import annotations

from collections.abc import Iterator

from edgeprune.backends.tflm.linting.finding import Finding
from edgeprune.backends.tflm.linting.tflite_network import Operator, Tensor, TfliteNetwork, TfliteSubgraph
from edgeprune.operator_facts.tflite_operators import MICRO_CUSTOM_KERNELS, TFLITE


def hybrid(network: TfliteNetwork) -> Iterator[Finding]:
    """Float activations with integer weights."""
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
                "quantize statically, activations as well: 'edgeprune build' for a microcontroller does",
            )


def unpacked_weights(network: TfliteNetwork) -> Iterator[Finding]:
    """Weights that are stored small and made floats for each inference."""
    for op in network.operators:
        first = op.inputs[0] if op.inputs else None
        if op.kind == "DEQUANTIZE" and first is not None and first.is_constant:
            yield op.finding(
                "warning",
                "unpacked-weights",
                f"weights ({first.name}) become floats at run time: all of them lie in the arena",
                "quantize statically instead of storing weights alone as float16 or int8",
            )


def outside(network: TfliteNetwork) -> Iterator[Finding]:
    """Content behind the flatbuffer, where TFLite Micro does not look."""
    remedy = "write it anew: edgeprune.tflite.tflite_file.pack(edgeprune.tflite.tflite_file.read(path))"
    seen: set[tuple[int, int]] = set()
    for op in network.operators:
        for tensor in op.inputs:
            if tensor is not None and tensor.is_outside and (op.graph, tensor.index) not in seen:
                seen.add((op.graph, tensor.index))
                yield op.finding(
                    "error",
                    "offset-buffer",
                    "its content lies behind the flatbuffer (Buffer.offset): TFLite Micro would compute with garbage",
                    remedy,
                    tensor=tensor.name,
                )
        if op.has_outside_options:
            yield op.finding("error", "offset-buffer", "its options lie behind the flatbuffer", remedy)


def dynamic(network: TfliteNetwork) -> Iterator[Finding]:
    """Sizes that are known only when it runs."""
    for number, graph in enumerate(network.graphs):
        for tensor in _tensors(graph):
            if -1 in tensor.shape:
                yield Finding(
                    "error", "dynamic-shape",
                    f"its shape is {list(tensor.shape)}: TFLite Micro plans memory beforehand",
                    "export with fixed shapes, batch 1", tensor=tensor.name, graph=number,
                )  # fmt: skip
        for tensor in graph.inputs:
            if -1 in tensor.signature and -1 not in tensor.shape:
                yield Finding(
                    "note", "open-shape",
                    f"its shape may be {list(tensor.signature)}; TFLite Micro takes {list(tensor.shape)}",
                    "export with fixed shapes, batch 1", tensor=tensor.name, graph=number,
                )  # fmt: skip
    for op in network.operators:
        open_inputs = [op.inputs[place] for place in TFLITE[op.kind].size_inputs if place < len(op.inputs)]
        if TFLITE[op.kind].size_depends_on_values or any(
            tensor is not None and not tensor.is_constant for tensor in open_inputs
        ):
            yield op.finding(
                "error",
                "dynamic-tensor",
                "how large its output is depends on values: TFLite Micro plans memory beforehand",
                "make the sizes constants in the network, or compute this part outside",
            )


def kernel(network: TfliteNetwork) -> Iterator[Finding]:
    """Operators that TFLite Micro has not."""
    for op in network.operators:
        if op.kind == "CUSTOM" and op.custom not in MICRO_CUSTOM_KERNELS:
            yield op.finding(
                "error", "no-kernel", f"the custom operator '{op.custom}' has no kernel in TFLite Micro",
                "register a kernel of your own in the firmware, or express it by builtin operators",
            )  # fmt: skip
        elif op.kind != "CUSTOM" and not TFLITE[op.kind].micro_kernel:
            yield op.finding(
                "error", "no-kernel", "TFLite Micro has no kernel for it",
                "replace the operator in the network; docs/architecture.md names those that EdgePrune writes",
            )  # fmt: skip


def floats(network: TfliteNetwork) -> Iterator[Finding]:
    """Float operators in a quantized file, by islands; or one finding for a file that has no other."""
    computing = [op for op in network.operators if not TFLITE[op.kind].casts]
    floating = [op for op in computing if any(tensor.is_float for tensor in op.activations)]
    if floating and not any(tensor.is_quantized for op in computing for tensor in op.activations):
        yield Finding(
            "warning",
            "float-model",
            f"nothing is quantized: all {len(floating)} operators run in float, four bytes a value, on plain C kernels",
            "quantize it: 'edgeprune build' for a microcontroller ships int8",
        )
        return
    for island in _islands(floating):
        kinds = ", ".join(dict.fromkeys(op.custom or op.kind for op in island))
        last = "" if len(island) == 1 else f" to op {island[-1].index}"
        yield island[0].finding(
            "warning",
            "float-island",
            f"{len(island)} float operator{'s' * (len(island) > 1)}{last} in an int8 file, with casts around: {kinds}",
            "use an operator that has an int8 kernel, such as RELU for ELU",
        )
    places = {place for op in floating for place in _float_places(op)}
    for number, graph in enumerate(network.graphs):
        for side, tensors in (("input", graph.inputs), ("output", graph.outputs)):
            for tensor in tensors:
                if tensor.is_float and (number, tensor.index) not in places:
                    yield Finding(
                        "note",
                        "float-port",
                        f"the {side} is float, and cast: four bytes a value, and one more operator",
                        "quantize with int8 in and out",
                        tensor=tensor.name,
                        graph=number,
                    )


def _tensors(graph: TfliteSubgraph) -> Iterator[Tensor]:
    found: dict[int, Tensor] = {tensor.index: tensor for tensor in graph.inputs}
    for op in graph.operators:
        found.update((tensor.index, tensor) for tensor in (*op.inputs, *op.outputs) if tensor is not None)
    return iter(found.values())


def _islands(floating: list[Operator]) -> list[list[Operator]]:
    """Groups of operators that hand each other floats, each in the order in which it runs."""
    makers: dict[tuple[int, int], list[Operator]] = {}
    islands: dict[int, list[Operator]] = {}
    for op in floating:
        touched = _float_places(op)
        joined = {id(island): island for place in touched if (island := makers.get(place)) is not None}
        largest = max(joined.values(), key=len, default=[])
        for key, island in joined.items():
            if island is not largest:
                largest.extend(island)
                makers.update((place, largest) for one in island for place in _float_places(one))
                del islands[key]
        largest.append(op)
        islands[id(largest)] = largest
        makers.update((place, largest) for place in touched)
    ordered = [sorted(island, key=lambda op: op.index) for island in islands.values()]
    return sorted(ordered, key=lambda island: (island[0].graph, island[0].index))


def _float_places(op: Operator) -> set[tuple[int, int]]:
    """The float activations that it reads and writes, by graph and index."""
    return {(op.graph, tensor.index) for tensor in op.activations if tensor.is_float}
