"""Preflight: check from the ONNX file whether a target can run a network, before training starts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from packaging.specifiers import SpecifierSet

from edgeprune.config import Target
from edgeprune.errors import TargetError
from edgeprune.export.onnx_loading import load_file
from edgeprune.export.onnx_modules import module_path

_SHOWN = 8


@dataclass(frozen=True)
class Preflight:
    """Result of a preflight that the target passed.

    Attributes:
        least_memory_bytes: Size of the weights, and of the inputs and outputs of the largest operator, in bytes: a
            lower bound for all runtimes.
        remarks: Descriptions of operators that the target runs inefficiently.
    """

    least_memory_bytes: int
    remarks: tuple[str, ...]


def preflight(path: Path, target: Target, *, installed: str | None = None) -> Preflight:
    """Check the ONNX file ``path`` against the runtime and the memory of ``target``.

    Args:
        path: Path of the ONNX file.
        target: Target of the build.
        installed: Version of the target's runtime on this machine; None if it is not installed.

    Raises:
        ModelError: The file cannot be read, or exceeds a limit of ``load_file``.
        TargetError: The target does not support an operator or the opset, a dimension is not fixed, the network does
            not fit into memory, or another version of the runtime is installed here. The message lists all problems.
    """
    proto = onnx.shape_inference.infer_shapes(load_file(path))
    memory = _least_memory(proto)
    problems = [
        *_versions(target, installed),
        *_opset(proto, target),
        *_open_inputs(proto),
        *_unsupported(proto, target),
    ]
    # Weights may lie in flash, where there is one; a network that is too large for it may be pruned until it fits.
    room = target.hardware.memory_bytes if target.hardware.flash_bytes is None else None
    if room is not None and memory > room:
        problems.append(
            f"its weights and its largest operator need {memory:,} bytes, but the board has {room:,}: use a smaller "
            "input (model.input), a smaller network or another board"
        )
    if problems:
        raise TargetError(f"{target.name} cannot run this network:\n  " + "\n  ".join(problems))
    slow = _named(proto.graph.node, target.onnx.slow)
    return Preflight(
        memory, tuple(_line(kind, nodes, "runs slowly on this target", target) for kind, nodes in slow.items())
    )


def _versions(target: Target, installed: str | None) -> Iterable[str]:
    """Check the version of the installed runtime, because results with another version may not apply."""
    runtime = target.runtime
    if installed is not None and not SpecifierSet(runtime.versions).contains(installed, prereleases=True):
        yield (
            f"it needs {runtime.name} {runtime.versions}, installed is {installed}: install a version in that range, "
            "or correct runtime.versions of the target"
        )


def _opset(proto: onnx.ModelProto, target: Target) -> Iterable[str]:
    highest = target.onnx.opset_max
    for entry in proto.opset_import:
        if entry.domain in ("", "ai.onnx"):
            if highest is not None and entry.version > highest:
                yield (
                    f"it needs opset {entry.version}, but the runtime supports opsets up to {highest}: replace the "
                    "operators that need it, or use another board"
                )
        else:
            yield f"it has operators of '{entry.domain}', which the runtime does not support: use those of ONNX"


def _open_inputs(proto: onnx.ModelProto) -> Iterable[str]:
    weights = {tensor.name for tensor in proto.graph.initializer}
    for value in proto.graph.input:
        if value.name in weights:
            continue
        sizes = [dim.dim_value or dim.dim_param or "?" for dim in value.type.tensor_type.shape.dim]
        # An open batch is a wish (export.dynamic_batch); another open dimension has no size to plan memory for.
        if not all(isinstance(size, int) for size in sizes[1:]):
            shape = ", ".join(map(str, sizes))
            yield f"input {value.name} is ({shape}): every dimension but the batch needs a size, in model.input"


def _unsupported(proto: onnx.ModelProto, target: Target) -> Iterable[str]:
    for kind, nodes in _named(proto.graph.node, target.onnx.unsupported).items():
        yield _line(kind, nodes, f"has no kernel in {target.runtime.name} {target.runtime.versions}".rstrip(), target)


def _named(nodes: Iterable[onnx.NodeProto], kinds: Sequence[str]) -> dict[str, list[onnx.NodeProto]]:
    nodes_by_operator: dict[str, list[onnx.NodeProto]] = {}
    for node in nodes:
        if node.op_type in kinds:
            nodes_by_operator.setdefault(node.op_type, []).append(node)
    return nodes_by_operator


def _line(kind: str, nodes: Sequence[onnx.NodeProto], problem: str, target: Target) -> str:
    locations = [f"{node.name} in {module_path(node) or 'the network itself'}" for node in nodes]
    more = f" and {len(locations) - _SHOWN} more" if len(locations) > _SHOWN else ""
    remark = target.onnx.remarks.get(kind, "take it out of the network, or compute it before or behind")
    return f"{kind} {problem} ({', '.join(locations[:_SHOWN])}{more}): {remark}"


def _least_memory(proto: onnx.ModelProto) -> int:
    graph = proto.graph
    sizes = {
        value.name: math.prod(dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim)
        * _bytes_of(value.type.tensor_type.elem_type)
        for value in (*graph.input, *graph.output, *graph.value_info)
    }
    weights: int = sum(math.prod(tensor.dims) * _bytes_of(tensor.data_type) for tensor in graph.initializer)
    largest: int = max(
        (sum(sizes.get(name, 0) for name in {*node.input, *node.output}) for node in graph.node), default=0
    )
    return weights + largest


def _bytes_of(kind: int) -> int:
    return int(onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize)
