"""Interpreter that can replace tensors where units are consumed, that is, where a call sums over a dimension.

A unit affects the network only through these sums. Therefore, removal of a unit is simulated and measured there.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, fx

from edgeprune.graph.coupling import Consumption
from edgeprune.graph.graph_operators import argument_names, call_operator
from edgeprune.graph.units import Units


class ConsumerInterpreter(fx.Interpreter):
    """Interpreter of the program of ``units``. Subclasses define the replacement of each consumed tensor."""

    def __init__(self, units: Units) -> None:
        super().__init__(units.coordinates.program.module)
        self.units = units
        self._consumed = units.coordinates.coupling.consumed

    def consume(self, node: fx.Node, consumption: Consumption, value: Tensor) -> Tensor:
        """Return the value that the call ``node`` reads instead of ``value``."""
        raise NotImplementedError

    def run_node(self, node: fx.Node) -> Any:
        if node not in self._consumed:
            return super().run_node(node)
        return call_operator(node.target, self.arguments(node))

    def arguments(self, node: fx.Node) -> dict[str, Any]:
        """Return the arguments of a call by name, with consumed tensors replaced."""
        args, kwargs = self.fetch_args_kwargs_from_env(node)
        arguments = {**dict(zip(argument_names(node.target), args, strict=False)), **kwargs}
        for consumption in self._consumed.get(node, ()):
            name, _, index = consumption.argument.partition(".")
            if index:
                arguments[name] = list(arguments[name])
                arguments[name][int(index)] = self.consume(node, consumption, arguments[name][int(index)])
            else:
                arguments[name] = self.consume(node, consumption, arguments[name])
        return arguments
