"""Replacement of random draws by deterministic values, because networks of different sizes draw different numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._python_dispatch import TorchDispatchMode

from edgeprune.graph.capture import Program
from edgeprune.graph.graph_operators import bind_arguments, call_operator, is_random, operator_name


def _normal(arguments: Mapping[str, Any]) -> Any:
    return arguments["mean"] + 0.5 * arguments["std"]


def _integer(arguments: Mapping[str, Any]) -> Any:
    """Return the middle of ``low`` (inclusive) and ``high`` (exclusive), which is called ``to`` in ``random_``."""
    low = arguments.get("low", 0)
    high = arguments.get("high", arguments.get("to"))
    return low + 1 if high is None else (low + high) // 2


_VALUES: dict[str, float | Callable[[Mapping[str, Any]], Any]] = {
    "aten.bernoulli": lambda arguments: arguments["p"] if "p" in arguments else arguments["self"],
    "aten.cauchy": 0.5,
    "aten.exponential": 0.5,
    "aten.geometric": 1,
    "aten.log_normal": 0.5,
    "aten.multinomial": 0,
    "aten.normal": _normal,
    "aten.normal_functional": _normal,
    "aten.poisson": lambda arguments: arguments["self"],
    "aten.rand": 0.5,
    "aten.rand_like": 0.5,
    "aten.randint": _integer,
    "aten.randint_like": _integer,
    "aten.randn": 0.5,
    "aten.randn_like": 0.5,
    "aten.random": _integer,
    "aten.randperm": lambda arguments: torch.arange(arguments["n"]),
    "aten.uniform": lambda arguments: (arguments["from"] + arguments["to"]) / 2,
    "aten._standard_gamma": lambda arguments: arguments["self"],
}
"""Replacement of each draw: a number, or a function of the arguments of the operator.

It depends on each tensor that determines the distribution, so that a wrong coupling changes the result.
"""

_SWITCHES = {
    "aten.native_dropout": "train",
    "aten.rrelu_with_noise": "training",
    "aten.rrelu_with_noise_functional": "training",
}
"""Argument that enables the draw, for operators that draw in training mode only."""


class _ConstantDraws(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = operator_name(func)
        if name in _SWITCHES:
            return call_operator(func, {**bind_arguments(func, args, kwargs or {}), _SWITCHES[name]: False})
        if name not in _VALUES:
            return func(*args, **(kwargs or {}))
        rule = _VALUES[name]
        value = rule(bind_arguments(func, args, kwargs or {})) if callable(rule) else rule
        if not isinstance(value, Tensor):
            return func(*args, **(kwargs or {})).fill_(value)
        value = value.clone()  # ``x.bernoulli_(x)`` writes into its own probabilities
        return func(*args, **(kwargs or {})).copy_(value)


def constant_draws(program: Program) -> AbstractContextManager[Any]:
    """Return a context in which random draws return values that depend on their arguments alone.

    For programs without random operators, the context does nothing, so that they run at full speed.
    """
    # Blocks such as autocast have separate graphs.
    graphs = [module.graph for module in program.module.modules() if isinstance(module, fx.GraphModule)]
    random = any(is_random(node) for graph in graphs for node in graph.nodes)
    return _ConstantDraws() if random else nullcontext()  # type: ignore[no-untyped-call]
