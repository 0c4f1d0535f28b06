"""Calls of a captured graph: names, arguments and effects of their operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import fx


def is_operator_call(node: fx.Node) -> bool:
    """Return whether the node calls an ATen or custom operator, not Python arithmetic on sizes."""
    return node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload)  # noqa: SLF001


def schema(target: Any) -> Any:
    """Return the schema of an operator: names, defaults and aliasing of its arguments and results."""
    return target._schema  # noqa: SLF001


def argument_names(target: Any) -> list[str]:
    """Return the names of all arguments, in order."""
    return [argument.name for argument in schema(target).arguments]


def operator_name(target: Any) -> str:
    """Return ``aten.relu`` for ``torch.ops.aten.relu_.default``, and the Python name of any other callable."""
    if not isinstance(target, torch._ops.OpOverload):  # noqa: SLF001
        return getattr(target, "__name__", str(target))
    namespace, _, name = schema(target).name.partition("::")
    in_place = name.endswith("_") and not name.endswith("__")
    return f"{namespace}.{name[:-1] if in_place else name}"


def mutates(node: fx.Node) -> bool:
    """Return whether the call modifies one of its arguments."""
    return is_operator_call(node) and bool(schema(node.target).is_mutable)


def aliases(node: fx.Node) -> bool:
    """Return whether the result shares memory with an argument: a view, or an argument modified in place."""
    if not is_operator_call(node):
        return node.op == "call_function"
    return any(result.alias_info is not None for result in schema(node.target).returns)


def is_random(node: fx.Node) -> bool:
    """Return whether the call may draw random numbers, so that its result differs between runs."""
    return is_operator_call(node) and torch.Tag.nondeterministic_seeded in node.target.tags  # type: ignore[union-attr]


def bind_arguments(target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by schema name, including defaults."""
    declared = schema(target).arguments
    bound = {argument.name: argument.default_value for argument in declared if argument.has_default_value()}
    return {**bound, **dict(zip(argument_names(target), args, strict=False)), **kwargs}


def call_operator(target: Any, arguments: dict[str, Any]) -> Any:
    """Call ``target`` with ``arguments`` by schema name. Missing arguments have their defaults."""
    declared = [argument for argument in schema(target).arguments if argument.name in arguments]
    positional = [arguments[argument.name] for argument in declared if not argument.kwarg_only]
    named = {argument.name: arguments[argument.name] for argument in declared if argument.kwarg_only}
    return target(*positional, **named)


def module_path(node: fx.Node) -> str:
    """Return the path of the module whose forward makes the call (``layer1.0.conv1``), empty for the network itself."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    path = str(stack[-1][0]) if stack else ""
    # A module that is called again appears as "conv@1".
    return ".".join(part.partition("@")[0] for part in path.split("."))
