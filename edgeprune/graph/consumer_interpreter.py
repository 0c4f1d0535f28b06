"""Run a program and reach in where units are consumed: where a call sums over a dimension.

Everything a unit does to the network it does there, so this is where removing it is simulated and its effect measured.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, fx

from edgeprune.graph.coupling import Consumption
from edgeprune.graph.graph_operators import argument_names, call_operator
from edgeprune.graph.units import Units


class ConsumerInterpreter(fx.Interpreter):
    """Runs the program of ``units``; subclasses say what becomes of each tensor that is consumed."""

    def __init__(self, units: Units) -> None:
        super().__init__(units.coordinates.program.module)
        self.units = units
        self._consumed = units.coordinates.coupling.consumed

    def consume(self, node: fx.Node, consumption: Consumption, value: Tensor) -> Tensor:
        """The value that the call ``node`` reads instead of ``value``."""
        raise NotImplementedError

    def run_node(self, node: fx.Node) -> Any:
        if node not in self._consumed:
            return super().run_node(node)
        return call_operator(node.target, self.arguments(node))

    def arguments(self, node: fx.Node) -> dict[str, Any]:
        """The arguments of a call by name, those consumed replaced."""
        args, kwargs = self.fetch_args_kwargs_from_env(node)
        given = {**dict(zip(argument_names(node.target), args, strict=False)), **kwargs}
        for consumption in self._consumed.get(node, ()):
            name, _, index = consumption.argument.partition(".")
            if index:
                given[name] = list(given[name])
                given[name][int(index)] = self.consume(node, consumption, given[name][int(index)])
            else:
                given[name] = self.consume(node, consumption, given[name])
        return given
