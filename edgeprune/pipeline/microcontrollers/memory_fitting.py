"""Choose units so that a network fits a microcontroller: TFLite Micro's own allocator says whether it does.

Weights do not change what a network takes, so none of this trains anything: the network is rewritten, exported,
lowered, quantized and loaded, and where it takes too much, chosen anew.
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
"""The units that go so that a budget holds, by models of costs that need more than the network."""
_LEAST = 2
"""A limit of 1 would be a share."""
_HALVINGS = 5
_CLOSE = 64
"""Bytes between an aim that fits and one that does not, that are not worth another try."""


def footprint(context: BuildContext, removed: Tensor) -> Footprint:
    """RAM and flash of the int8 network without the units in the mask (units,); computed once for each mask."""
    gone = removed.numpy().tobytes()
    if gone not in context.footprints:
        context.footprints[gone] = _footprint_of(context, rewrite(context.dense, context.units, removed).model)
    return context.footprints[gone]


def measured(context: BuildContext, network: nn.Module, units: Units, removed: Tensor) -> Mapping[str, float]:
    """Arena and flash of any ``network`` without some of its ``units``, by cost name."""
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
        found = backend.footprint(backend.write_for_footprint(conversion), context.target)
    assert found is not None, f"{context.target.name} has limits, and its backend {backend.name} no footprint"
    return found


def whole(context: BuildContext) -> Tensor:
    """The mask of no units, (units,)."""
    import torch

    return torch.zeros(len(context.units), dtype=torch.bool)


def board_costs(context: BuildContext, dense: Footprint) -> dict[str, CostModel]:
    """Models of what TFLite Micro takes, right for the ``dense`` network, and of latency where that is limited."""
    found: dict[str, CostModel] = {}
    for name, value in dense.costs.items():
        base = cost_model(name, context.units, context.dense, precision="int8")
        found[name] = ScaledCost(base, offset=value - base.total())
    latency = context.latency_model(required="latency_ms" in context.recipe.budget.aims.costs)
    return found if latency is None else {**found, "latency_ms": latency}


def limits(context: BuildContext, dense: Footprint) -> dict[str, int]:
    """Limits of arena and flash: those of the board, or lower ones of the budget."""
    asked = context.recipe.budget.aims
    named = {name: asked.limit(name, dense.costs[name]) for name in dense.costs if name in asked.costs}
    return {name: min(limit, int(named.get(name, limit))) for name, limit in context.target.limits.items()}


def fit(context: BuildContext, choose: Choose) -> tuple[Plan, Tensor]:
    """The plan with which all limits hold, and the mask of the units that go, (units,).

    What the board has is a limit only where the network would be larger, so that boards on which it fits share a plan.

    Raises:
        BudgetError: A limit cannot be reached; names what TFLite Micro takes at least, and for what.
    """
    dense = footprint(context, whole(context))
    return _Fitting(context, choose, board_costs(context, dense), limits(context, dense)).run()


Aims = Mapping[str, int]
"""Limits for the cost models, by name: below the real limit where the models underestimate."""


@dataclass(frozen=True)
class _Choice:
    """A choice for ``aims``, and the bytes by which it exceeds each limit (``over``)."""

    plan: Plan
    removed: Tensor
    aims: Aims
    over: Mapping[str, int]


@dataclass
class _Fitting:
    """A search: ``most`` is what arena and flash may take, ``costs`` are models of what they do."""

    context: BuildContext
    choose: Choose
    costs: Mapping[str, CostModel]
    most: Mapping[str, int]

    def run(self) -> tuple[Plan, Tensor]:
        # What the models do not know, such as gaps between activations, is made up for by aiming lower.
        best = self._chosen_or_smallest({name: most for name, most in self.most.items() if name in self._asked.costs})
        too_high: Aims = {}
        while best.over:
            for name, excess in best.over.items():
                logger.info("%s: %d bytes over %d", name, excess, self.most[name])
            too_high = best.aims
            lower = {
                name: best.aims[name] - excess if name in best.aims else self.most[name]
                for name, excess in best.over.items()
            }
            best = self._chosen_or_smallest({**best.aims, **lower})
        best = self._as_much_as_fits(best, too_high)
        shown = self._budget({name: self.most[name] for name in best.aims}).model_dump(exclude_none=True)
        return replace(best.plan, origin={**best.plan.origin, "budget": shown}), best.removed

    def _as_much_as_fits(self, best: _Choice, too_high: Aims) -> _Choice:
        """The highest aim that fits, between ``too_high`` and that of ``best``, which fits."""
        for _ in range(_HALVINGS):
            high = {name: too_high.get(name, self.most[name]) for name in best.aims} if too_high else best.aims
            if all(high[name] - aim <= _CLOSE for name, aim in best.aims.items()):
                break
            middle = self._chosen({name: (aim + high[name]) // 2 for name, aim in best.aims.items()})
            if middle.over:
                too_high = middle.aims
            else:
                best = middle
        return best

    def _chosen(self, aims: Aims) -> _Choice:
        plan, removed = self.choose(self._budget(aims), self.costs)
        return _Choice(plan, removed, aims, self._over(footprint(self.context, removed)))

    def _chosen_or_smallest(self, aims: Aims) -> _Choice:
        """The choice for ``aims``, or the one that takes the least: it may fit, though the models say it does not.

        Raises:
            BudgetError: It does not; or another limit cannot be reached.
        """
        try:
            return self._chosen(aims)
        except BudgetError as problem:
            return self._smallest(aims, problem)

    def _smallest(self, aims: Aims, problem: BudgetError) -> _Choice:
        context, budget = self.context, self._budget(aims)
        models = {name: self.costs.get(name) or cost_model(name, context.units, context.dense) for name in budget.costs}
        asked = budget.limits({name: model.total() for name, model in models.items()})
        missed = [name for name, limit in asked.items() if problem.nearest.get(name, math.inf) > limit]
        if not set(missed) <= set(self.most):
            raise problem
        least = {**aims, **{name: math.ceil(problem.nearest[name]) for name in missed}}
        plan, removed = self.choose(self._budget(least), self.costs)
        found = footprint(context, removed)
        over = self._over(found)
        if not over:
            return _Choice(plan, removed, least, {})
        shortfalls = [
            f"budget {name}: {self.most[name]:,} cannot be reached{_origin(context, name, self.most[name])}, the "
            f"closest is {found.costs[name]:,} by TFLite Micro's allocator"
            for name in over
        ]
        held = "; ".join([*(_held_back(found, name) for name in over), problem.held_back])
        nearest = {**problem.nearest, **found.costs}
        raise BudgetError(f"{'; '.join(shortfalls)}. What holds it back: {held}", nearest, held_back=held) from problem

    @property
    def _asked(self) -> Budget:
        return self.context.recipe.budget.aims

    def _budget(self, aims: Aims) -> Budget:
        return self._asked.model_copy(update={name: max(aim, _LEAST) for name, aim in aims.items()})

    def _over(self, found: Footprint) -> dict[str, int]:
        excess = {name: found.costs[name] - limit for name, limit in self.most.items()}
        return {name: bytes_over for name, bytes_over in excess.items() if bytes_over > 0}


def _origin(context: BuildContext, name: str, limit: int) -> str:
    return f" (what {context.target.name} has for a model)" if limit == context.target.limits[name] else ""


def _held_back(found: Footprint, name: str) -> str:
    if name == "flash_bytes":
        rest = found.flash_bytes - found.file_bytes
        return f"the file has {found.file_bytes:,} bytes, the rest of the image {rest:,}"
    arena = found.arena
    rest = arena.restated_for_32_bit - arena.nonpersistent_bytes
    activations = f"{arena.nonpersistent_bytes:,} for activations" if found.peak is None else f"{found.peak} at once"
    return f"{activations}; {rest:,} for tensors, nodes and kernels; {found.scratch_bytes:,} for CMSIS-NN"
