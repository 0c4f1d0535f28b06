"""Pruning plan: the remaining indices of each sliced tensor, stored as JSON and applicable to the dense network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgeprune import files, graph, safe_json
from edgeprune.cost import Cost
from edgeprune.errors import PlanError
from edgeprune.graph.capture import named_tensors
from edgeprune.model.module_wrappers import unwrap

_SCHEMA = 1
_MAX_BYTES = 256 << 20


@dataclass(frozen=True, eq=False)
class Plan:
    """Pruning plan of one dense network.

    Attributes:
        kept_indices: Remaining indices by dimension, for each sliced tensor by name.
        shapes: Shape of each tensor of the dense network, by name.
        before: Cost of the dense network.
        after: Cost of the pruned network.
        exclude: Setting ``exclude`` of the search for units.
        attention: Setting ``attention`` of the search for units.
        origin: Criterion, budget, seed and options from which the plan was computed.
    """

    kept_indices: Mapping[str, Mapping[int, Tensor]]
    shapes: Mapping[str, tuple[int, ...]]
    before: Cost
    after: Cost
    exclude: tuple[str, ...] = ()
    attention: str = "heads"
    origin: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(model: nn.Module, kept_indices: Mapping[str, Mapping[int, Tensor]], **fields: Any) -> Plan:
        """Return the plan that keeps ``kept_indices`` of the dense ``model``."""
        return Plan(kept_indices, {name: tuple(tensor.shape) for name, tensor in named_tensors(model)}, **fields)

    def __eq__(self, other: object) -> bool:
        """Return whether both plans keep the same indices of the same network, whatever their origin."""
        if not isinstance(other, Plan):
            return NotImplemented
        return self._decision() == other._decision()

    def __hash__(self) -> int:
        return hash((frozenset(self.kept_indices), frozenset(self.shapes.items()), self.after.macs))

    def _decision(self) -> tuple[Any, ...]:
        kept_indices = {
            (name, dim): index.tolist() for name, dims in self.kept_indices.items() for dim, index in dims.items()
        }
        return kept_indices, dict(self.shapes), self.before, self.after, self.exclude, self.attention

    def __repr__(self) -> str:
        criterion = self.origin.get("criterion")
        suffix = f" by {criterion}" if criterion else ""
        return (
            f"Plan({len(self.kept_indices)} of {len(self.shapes)} tensors sliced{suffix}, MACs {self.before.macs:,} -> "
            f"{self.after.macs:,}, parameters {self.before.params:,} -> {self.after.params:,})"
        )

    def save(self, path: str | Path) -> None:
        """Write the plan as JSON."""
        files.write_atomic(Path(path), self.to_json())

    def to_json(self) -> str:
        """Return the plan as JSON text, identical for identical plans."""
        content = {
            "schema": _SCHEMA,
            "origin": dict(self.origin),
            "before": asdict(self.before),
            "after": asdict(self.after),
            "exclude": list(self.exclude),
            "attention": self.attention,
            "kept": {
                name: {str(dim): index.tolist() for dim, index in dims.items()}
                for name, dims in self.kept_indices.items()
            },
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
        }
        return json.dumps(content, separators=(",", ":"), sort_keys=True) + "\n"

    @staticmethod
    def load(path: str | Path) -> Plan:
        """Read a plan from a JSON file.

        Raises:
            PlanError: The file is not a plan, or has another schema version.
        """
        try:
            content = safe_json.load(Path(path), max_bytes=_MAX_BYTES)
        except (OSError, ValueError) as error:
            raise PlanError(f"cannot read the plan {path}: {error}") from error
        if not isinstance(content, dict) or content.get("schema") != _SCHEMA:
            actual = content.get("schema") if isinstance(content, dict) else None
            raise PlanError(f"{path}: expected a plan of schema {_SCHEMA}, got the schema {actual!r:.80}")
        try:
            return Plan(
                kept_indices={
                    name: {int(dim): torch.tensor(index, dtype=torch.long) for dim, index in dims.items()}
                    for name, dims in content["kept"].items()
                },
                shapes={name: tuple(shape) for name, shape in content["shapes"].items()},
                before=Cost(**content["before"]),
                after=Cost(**content["after"]),
                exclude=tuple(content["exclude"]),
                attention=content["attention"],
                origin=content["origin"],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise PlanError(f"{path} is not a valid plan: {error!r}") from error

    def apply(
        self,
        model: nn.Module,
        example: graph.Example,
        *,
        verify: bool = True,
        copy: bool = True,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> nn.Module:
        """Prune the dense ``model`` as the plan describes. ``example``, ``copy`` and ``optimizer`` are as in ``prune``.

        Raises:
            InputError: The state of the optimizer cannot be sliced.
            PlanError: The plan belongs to another network. The message names the first tensor that differs.
            EquivalenceError: The pruned network is not equivalent to the dense one without the removed units.
        """
        model = unwrap(model)
        self.check(model)
        graph.check_optimizer(optimizer, model, copy=copy)
        units = graph.units_of(graph.capture(model, example), exclude=self.exclude, attention=self.attention)
        removed = self.removed(units)
        rewritten, _ = graph.shrink(model, units, removed, verify=verify, copy=copy, optimizer=optimizer)
        return rewritten.model

    def check(self, model: nn.Module) -> None:
        """Raise ``PlanError`` if a tensor of ``model`` has another shape than in the plan."""
        shapes = {name: tuple(tensor.shape) for name, tensor in named_tensors(model)}
        for name in {**self.shapes, **shapes}:
            if self.shapes.get(name) != shapes.get(name):
                raise PlanError(
                    f"the plan belongs to another network: {name} is {_shape(shapes.get(name))} in this network, but "
                    f"{_shape(self.shapes.get(name))} in the plan"
                )

    def removed(self, units: graph.Units) -> Tensor:
        """Return the mask of the units of the dense network that the plan removes, (units,).

        Raises:
            PlanError: The plan keeps a part of a unit, so it was computed for other couplings.
        """
        removed = units.removed(self.kept_indices)
        kept_by_units = units.kept_indices(removed)
        for name in {**self.kept_indices, **kept_by_units}:
            expected, actual = self.kept_indices.get(name, {}), kept_by_units.get(name, {})
            if expected.keys() != actual.keys() or any(not torch.equal(expected[dim], actual[dim]) for dim in expected):
                raise PlanError(f"the plan belongs to another network: it keeps a part of a unit in {name}")
        return removed


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else str(shape)
