"""Selection of units so that a network fits into RAM and flash of a microcontroller.

The memory is that of TFLite Micro's own allocator. It does not depend on the values of weights, so nothing is trained:
the network is rewritten, exported, lowered, quantized and loaded. If it needs too much memory, units are selected again
with lower limits.
"""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgeprune.backends.conversion import Conversion
from edgeprune.config import Budget
from edgeprune.cost import CostModel, ScaledCost, cost_model
from edgeprune.errors import BudgetError
from edgeprune.export import onnx_export
from edgeprune.graph.rewrite import rewrite

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgeprune.backends.footprint import Footprint
    from edgeprune.graph import Units
    from edgeprune.pipeline.build_context import BuildContext
    from edgeprune.selection import Plan

logger = logging.getLogger(__name__)

Choose = Callable[[Budget, Mapping[str, CostModel]], "tuple[Plan, Tensor]"]
"""Function that selects the removed units for a budget, given models of additional costs; returns plan and mask."""
_MIN_LIMIT = 2
"""Smallest absolute limit, as a limit up to 1 is a fraction of dense."""
_HALVINGS = 5
_RESOLUTION = 64
"""Difference in bytes between a limit that fits and one that does not, below which the search ends."""


def footprint(context: BuildContext, removed: Tensor) -> Footprint:
    """Return RAM and flash of the int8 network without the units in the mask (units,); cached by mask."""
    key = removed.numpy().tobytes()
    if key not in context.footprints:
        context.footprints[key] = _footprint_of(context, rewrite(context.dense, context.units, removed).model)
    return context.footprints[key]


def measured(context: BuildContext, network: nn.Module, units: Units, removed: Tensor) -> Mapping[str, float]:
    """Return arena and flash in bytes of any ``network`` without the ``removed`` units, by cost name."""
    return _footprint_of(context, rewrite(network, units, removed).model).costs


def _footprint_of(context: BuildContext, network: nn.Module) -> Footprint:
    recipe = context.recipe
    network = network.cpu().eval()
    with tempfile.TemporaryDirectory() as folder:
        source, backend = Path(folder) / "network.onnx", context.backend
        onnx_export.export(
            network, context.example, source, opset=context.target.onnx.opset, simplify=recipe.export.simplify
        )
        conversion = Conversion(
            file=backend.write_float32(source, Path(folder)),
            folder=Path(folder),
            target=context.target,
            samples=context.data.train,
            seed=recipe.seed,
        )
        footprint = backend.footprint(backend.write_for_footprint(conversion), context.target)
    assert footprint is not None, f"{context.target.name} has limits, but its backend {backend.name} has no footprint"
    return footprint


def empty_mask(context: BuildContext) -> Tensor:
    """Return the mask without removed units, (units,)."""
    import torch

    return torch.zeros(len(context.units), dtype=torch.bool)


def board_costs(context: BuildContext, dense: Footprint) -> dict[str, CostModel]:
    """Return cost models of arena and flash, exact for the ``dense`` network, and of latency if it is limited."""
    models: dict[str, CostModel] = {}
    for name, value in dense.costs.items():
        base = cost_model(name, context.units, context.dense, precision="int8")
        models[name] = ScaledCost(base, offset=value - base.total())
    latency = context.latency_model(required="latency_ms" in context.recipe.budget.pruning_targets.costs)
    return models if latency is None else {**models, "latency_ms": latency}


def limits(context: BuildContext, dense: Footprint) -> dict[str, int]:
    """Return the limits of arena and flash in bytes: those of the board, or lower ones of the budget."""
    budget = context.recipe.budget.pruning_targets
    budget_limits = {name: budget.limit(name, dense.costs[name]) for name in dense.costs if name in budget.costs}
    return {name: min(limit, int(budget_limits.get(name, limit))) for name, limit in context.target.limits.items()}


def fit(context: BuildContext, choose: Choose) -> tuple[Plan, Tensor]:
    """Return a plan that meets all limits, and the mask of the removed units, (units,).

    The memory of the board is a limit only if the network would exceed it, so boards on which it fits share a plan.

    Raises:
        BudgetError: A limit cannot be reached; names the smallest reachable size and its parts.
    """
    dense = footprint(context, empty_mask(context))
    return _Fitting(context, choose, board_costs(context, dense), limits(context, dense)).run()


ModelLimits = Mapping[str, int]
"""Limits for the cost models in bytes, by name; lower than the real limits if the models underestimate."""


@dataclass(frozen=True)
class _Choice:
    """Plan for some limits of the cost models.

    Attributes:
        plan: The plan.
        removed: Mask of the removed units, (units,).
        model_limits: Limits of the cost models that the plan was made for.
        excess: Bytes by which the network exceeds each real limit that it exceeds.
    """

    plan: Plan
    removed: Tensor
    model_limits: ModelLimits
    excess: Mapping[str, int]


@dataclass
class _Fitting:
    """Search for limits of the cost models with which the network meets the real limits.

    Attributes:
        context: Build context.
        choose: Function that selects units for a budget.
        costs: Cost models of arena and flash.
        limits: Real limits of arena and flash in bytes.
    """

    context: BuildContext
    choose: Choose
    costs: Mapping[str, CostModel]
    limits: Mapping[str, int]

    def run(self) -> tuple[Plan, Tensor]:
        # Lower limits compensate for memory that the models do not know, such as gaps between activations.
        best = self._chosen_or_smallest(
            {name: limit for name, limit in self.limits.items() if name in self._recipe_budget.costs}
        )
        too_high: ModelLimits = {}
        while best.excess:
            for name, excess in best.excess.items():
                logger.info("%s: %d bytes over %d", name, excess, self.limits[name])
            too_high = best.model_limits
            lower = {
                name: best.model_limits[name] - excess if name in best.model_limits else self.limits[name]
                for name, excess in best.excess.items()
            }
            best = self._chosen_or_smallest({**best.model_limits, **lower})
        best = self._as_much_as_fits(best, too_high)
        budget = self._budget({name: self.limits[name] for name in best.model_limits}).model_dump(exclude_none=True)
        return replace(best.plan, origin={**best.plan.origin, "budget": budget}), best.removed

    def _as_much_as_fits(self, best: _Choice, too_high: ModelLimits) -> _Choice:
        """Return the plan with the highest limits that fits, between those of ``best`` and ``too_high``."""
        for _ in range(_HALVINGS):
            high = (
                {name: too_high.get(name, self.limits[name]) for name in best.model_limits}
                if too_high
                else best.model_limits
            )
            if all(high[name] - aim <= _RESOLUTION for name, aim in best.model_limits.items()):
                break
            middle = self._chosen({name: (aim + high[name]) // 2 for name, aim in best.model_limits.items()})
            if middle.excess:
                too_high = middle.model_limits
            else:
                best = middle
        return best

    def _chosen(self, model_limits: ModelLimits) -> _Choice:
        plan, removed = self.choose(self._budget(model_limits), self.costs)
        return _Choice(plan, removed, model_limits, self._excess(footprint(self.context, removed)))

    def _chosen_or_smallest(self, model_limits: ModelLimits) -> _Choice:
        """Return the plan for ``model_limits``, or the smallest network, which may fit against the prediction.

        Raises:
            BudgetError: The smallest network does not fit, or another limit cannot be reached.
        """
        try:
            return self._chosen(model_limits)
        except BudgetError as problem:
            return self._smallest(model_limits, problem)

    def _smallest(self, model_limits: ModelLimits, problem: BudgetError) -> _Choice:
        context, budget = self.context, self._budget(model_limits)
        models = {name: self.costs.get(name) or cost_model(name, context.units, context.dense) for name in budget.costs}
        budget_limits = budget.limits({name: model.total() for name, model in models.items()})
        missed = [name for name, limit in budget_limits.items() if problem.nearest.get(name, math.inf) > limit]
        if not set(missed) <= set(self.limits):
            raise problem
        least = {**model_limits, **{name: math.ceil(problem.nearest[name]) for name in missed}}
        plan, removed = self.choose(self._budget(least), self.costs)
        smallest = footprint(context, removed)
        excess = self._excess(smallest)
        if not excess:
            return _Choice(plan, removed, least, {})
        shortfalls = [
            f"budget {name}: {self.limits[name]:,} cannot be reached{_limit_origin(context, name, self.limits[name])}, "
            f"the smallest possible value is {smallest.costs[name]:,}, measured with TFLite Micro's allocator"
            for name in excess
        ]
        cause = "; ".join([*(_memory_parts(smallest, name) for name in excess), problem.cause])
        nearest = {**problem.nearest, **smallest.costs}
        raise BudgetError(f"{'; '.join(shortfalls)}. The cause: {cause}", nearest, cause=cause) from problem

    @property
    def _recipe_budget(self) -> Budget:
        return self.context.recipe.budget.pruning_targets

    def _budget(self, model_limits: ModelLimits) -> Budget:
        return self._recipe_budget.model_copy(
            update={name: max(limit, _MIN_LIMIT) for name, limit in model_limits.items()}
        )

    def _excess(self, footprint: Footprint) -> dict[str, int]:
        excess = {name: footprint.costs[name] - limit for name, limit in self.limits.items()}
        return {name: bytes_over for name, bytes_over in excess.items() if bytes_over > 0}


def _limit_origin(context: BuildContext, name: str, limit: int) -> str:
    return f" (the memory of {context.target.name} for a model)" if limit == context.target.limits[name] else ""


def _memory_parts(footprint: Footprint, name: str) -> str:
    if name == "flash_bytes":
        remainder = footprint.flash_bytes - footprint.file_bytes
        return f"the file has {footprint.file_bytes:,} bytes, the rest of the image {remainder:,}"
    arena = footprint.arena
    persistent = arena.restated_for_32_bit - arena.nonpersistent_bytes
    activations = (
        f"{arena.nonpersistent_bytes:,} for activations" if footprint.peak is None else f"{footprint.peak} at once"
    )
    return f"{activations}; {persistent:,} for tensors, nodes and kernels; {footprint.scratch_bytes:,} for CMSIS-NN"
