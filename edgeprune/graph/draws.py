"""Replace random numbers by a constant: networks of different sizes cannot draw the same random numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from edgeprune.graph.capture import Program
from edgeprune.graph.operators import is_operator_call, operator_name

_CONSTANT = 0.5
_DRAWS = frozenset(
    f"aten.{name}"
    for name in ("bernoulli", "exponential", "normal", "rand", "rand_like", "randn", "randn_like", "uniform")
)


class _ConstantDraws(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if operator_name(func) in _DRAWS:
            result.fill_(_CONSTANT)
        return result


def constant_draws(program: Program) -> AbstractContextManager[Any]:
    """A context in which uniform, normal, exponential and Bernoulli draws return a constant.

    For programs without random operators it does nothing, so that they run at full speed.
    """
    nodes = (node for node in program.graph.nodes if is_operator_call(node))
    random = any(torch.Tag.nondeterministic_seeded in node.target.tags for node in nodes)
    return _ConstantDraws() if random else nullcontext()  # type: ignore[no-untyped-call]
