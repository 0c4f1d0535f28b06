"""Inlining of operators that ONNX defines by a function of other operators."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import onnx
import onnx.inliner
from onnx import ModelProto, helper

_FUNCTIONS_WITH_LOOPS = ("Range", "SequenceMap")


def with_inlined_functions(proto: ModelProto, supported: Collection[str]) -> ModelProto:
    """Replace operators by the functions that define them in ONNX, if there are any, also inside of these functions.

    Functions with loops remain, because neither a TFLite file nor a trainable graph can have them. They may be
    constants.

    Args:
        proto: Model, whose own functions are already inlined. It is not changed.
        supported: Operators that are not replaced.

    Returns:
        The changed model, or ``proto`` if no operator is replaced.
    """
    version = opset_of(proto)
    while True:
        kinds = {node.op_type for node in proto.graph.node if node.domain in ("", "ai.onnx")} - set(supported)
        functions = defined_by_functions(kinds, version)
        if not functions:
            return proto
        proto = _with_types(proto)
        _state_defaults(proto, functions, version)
        names = [("", kind) for kind in functions]
        proto = onnx.inliner.inline_selected_functions(proto, names, inline_schema_functions=True)
        if kinds <= {node.op_type for node in proto.graph.node}:  # nothing could be replaced
            return proto


def defined_by_functions(kinds: Iterable[str], opset: int) -> list[str]:
    """Return those of the operators ``kinds`` that ONNX defines by a function without loops, sorted."""
    return sorted(kind for kind in kinds if _has_function(kind, opset))


def opset_of(proto: ModelProto) -> int:
    """Return the version of the default operator set; 0 if the model does not state it."""
    return next((int(entry.version) for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), 0)


def _state_defaults(proto: ModelProto, kinds: Sequence[str], version: int) -> None:
    """State the default attributes of nodes of ``kinds``, because the inliner of ONNX leaves out those that are not."""
    for node in proto.graph.node:
        if node.op_type in kinds:
            stated = {item.name for item in node.attribute}
            schema = onnx.defs.get_schema(node.op_type, max_inclusive_version=version)
            defaults = [attribute.default_value for name, attribute in schema.attributes.items() if name not in stated]
            node.attribute.extend(default for default in defaults if default.name)


def _with_types(proto: ModelProto) -> ModelProto:
    """Return a copy that states the type of every value, on which some functions depend."""
    typed = onnx.shape_inference.infer_shapes(proto)
    stated = {value.name for value in (*typed.graph.value_info, *typed.graph.input)}
    for tensor in typed.graph.initializer:
        if tensor.name not in stated:
            typed.graph.value_info.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return typed


def _has_function(kind: str, version: int) -> bool:
    if not onnx.defs.has(kind, max_inclusive_version=version) or kind in _FUNCTIONS_WITH_LOOPS:
        return False
    operator: Any = onnx.defs.get_schema(kind, max_inclusive_version=version)  # its stub lacks both attributes
    return bool(operator.has_function or operator.has_context_dependent_function)
