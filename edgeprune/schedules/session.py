"""Interface of a schedule to the network that it prunes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from edgeprune import criteria, graph, pruning
from edgeprune.config import Budget
from edgeprune.cost import CostModel, cost_model, cost_of
from edgeprune.criteria import Criterion, Network
from edgeprune.errors import BudgetError, InputError
from edgeprune.graph import Units
from edgeprune.graph.capture import evaluating, named_tensors
from edgeprune.graph.rewrite import rewrite
from edgeprune.model.seeding import seeded
from edgeprune.repair import Repair
from edgeprune.schedules.remapped_cost import RemappedCost
from edgeprune.schedules.removals import Removals, Snapshot, State, copied, scaled_to_inputs
from edgeprune.schedules.sample_loss import mean_loss
from edgeprune.schedules.session_options import Choice, PresetPlan
from edgeprune.selection import Constraint, LossCurve, Plan, Problem, Selection
from edgeprune.selection.sensitivity_scan import measure_sensitivity
from edgeprune.statistics import Samples

logger = logging.getLogger(__name__)


@dataclass
class PruningSession:
    """Network that is pruned in place, with the inputs that a schedule needs to bring it within its budget.

    Attributes:
        model: Current network. After a removal, it is another object if the captured program replaces the module.
        example: Inputs of ``model``, as a tuple of tensors or a mapping of keyword arguments.
        budget: Upper limits at the end; fractions refer to the network at the start of the session.
        choice: Method by which units are chosen.
        planned: Units that ``prune`` removes from a copy of ``model``, for schedules with ``plans_ahead``; ``budget``
            and ``choice`` are not used then. None: ``choice`` decides.
        optimizer: Optimizer of ``model``, whose state is sliced with the parameters. None: no optimizer exists yet.
        samples: Samples for scores and repair, if any.
        seed: Seed of all random choices.
        followers: Other modules with the same tensors, such as an average of the weights, which are sliced with
            ``model``. As ``model``, they become other objects if captured programs replace them.
        rewind_weights: State dict of the dense network from early in its training, for schedules that rewind to it.
        initialize: Function from a seed to the state dict of a newly initialized dense network. None: the
            ``reset_parameters`` of the layers.
        evaluate: Function from a network to its quality on validation data; larger is better. None: the negative loss
            on ``samples``.
        reward: Cheaper variant of ``evaluate`` on about the requested number of samples. None: ``evaluate``.
        broadcast: Function that returns the tensor of process 0 in all processes that train the network together, for
            tensors that depend on the samples of a process.
    """

    model: nn.Module
    example: graph.Example
    budget: Budget
    choice: Choice
    planned: PresetPlan | None = None
    optimizer: torch.optim.Optimizer | None = None
    samples: Samples | None = None
    seed: int = 0
    followers: Sequence[nn.Module] = ()
    rewind_weights: State | None = None
    initialize: Callable[[int], State] | None = None
    evaluate: Callable[[nn.Module], float] | None = None
    reward: Callable[[nn.Module, int], float] | None = None
    broadcast: Callable[[Tensor], Tensor] = lambda tensor: tensor
    _removals: Removals = field(default_factory=Removals, init=False)
    _units: Units | None = field(default=None, init=False)
    scores: Tensor | None = field(default=None, init=False)
    """Scores of the last choice among all units that the session began with, (units,)."""

    def __post_init__(self) -> None:
        self._dense_shapes = {name: tuple(tensor.shape) for name, tensor in named_tensors(self.model)}
        if self.planned is not None:
            self._units = self.planned.units
            return
        self._dense_units = self.units
        self._dense_costs = {name: model.total() for name, model in self._costs().items()}
        self._limits = self.budget.limits(self._dense_costs)
        self._before = cost_of(self.units, self.model)
        names = [group.name for group in self.units.groups]
        ways = (self.choice.constraints, self.choice.relaxed)
        self._constraints = [dict(zip(names, way(self.units), strict=False)) for way in ways if way is not None]

    @property
    def units(self) -> Units:
        """Units of the current network."""
        if self._units is None:
            choice = self.choice
            program = graph.capture(self.model, self.example)
            self._units = graph.units_of(program, exclude=choice.exclude, attention=choice.attention)
        return self._units

    def score(self, criterion: Criterion | None = None, *, seed: int | None = None) -> Tensor:
        """Return the scores of all units for the current weights, (units,), by ``criterion`` or the chosen one."""
        network = Network(self.model, self.units, self.seed if seed is None else seed, self.samples)
        if criterion is not None:
            return self.broadcast(criteria.score(criterion, network))
        return self.broadcast(pruning.score(self.choice.criterion, network, self.choice.repairs))

    def limits(self, way: Callable[[float, float], float] = lambda _dense, limit: limit) -> dict[str, float]:
        """Return the limits by cost: those of the budget, or ``way(dense cost, limit)`` where that is larger."""
        return {name: max(limit, way(self._dense_costs[name], limit)) for name, limit in self._limits.items()}

    def choose(
        self,
        scores: Tensor,
        limits: Mapping[str, float] | None = None,
        *,
        selection: Selection | None = None,
        additive: bool | None = None,
    ) -> Tensor:
        """Return the mask of the units to remove so that the network is within ``limits``, (units,).

        Args:
            scores: Importance of each unit, (units,).
            limits: Absolute limits by cost. Defaults to those of the budget.
            selection: Selection to use. Defaults to that of ``choice``.
            additive: Whether scores are changes of the loss. Defaults to that of the chosen criterion.

        Raises:
            BudgetError: The limits cannot be reached; names the closest values.
        """
        units = self.units
        if not self._removals:
            self.scores = scores.detach().cpu().clone()
        chosen = selection or self.choice.selection
        curves: tuple[LossCurve, ...] = ()
        if chosen.needs_curves:
            if self.samples is None:
                raise InputError(f"selection: {chosen.name} measures the network and needs data: pass data=...")
            curves = measure_sensitivity(units, scores, self.samples).curves(units)
        problem = Problem(
            units,
            scores,
            self._costs(),
            dict(limits or self._limits),
            self._constraint_of_each(self._constraints[0]),
            curves,
            self.choice.criterion.additive if additive is None else additive,
        )
        try:
            return self._within(problem, chosen)
        except BudgetError:
            if len(self._constraints) == 1:
                raise
            logger.warning("the budget cannot be reached with the preferred alignment of channels: using other counts")
            return self._within(replace(problem, constraints=self._constraint_of_each(self._constraints[1])), chosen)

    def _within(self, problem: Problem, selection: Selection) -> Tensor:
        """Return the mask of the units that ``selection`` removes so that the limits hold, also when measured."""
        targets = dict(problem.limits)
        while True:
            removed = self.broadcast(selection.choose(replace(problem, limits=targets)))
            if self.choice.measured is None:
                return removed
            costs = self.choice.measured(self.model, problem.units, removed)
            over = {name: costs[name] - limit for name, limit in problem.limits.items() if name in costs}
            if all(excess <= 0 for excess in over.values()):
                return removed
            for name, excess in over.items():
                targets[name] -= max(excess, 0)

    def remove(self, removed: Tensor, *, repair: bool = True) -> None:
        """Remove the units in the mask (units,) from network and optimizer state, and repair the remaining network.

        Raises:
            EquivalenceError: The pruned network is not equivalent to the network without these units.
        """
        copy = self.planned is not None and not self._removals
        if not (copy or bool(removed.any())):
            return
        units, optimizer = self.units, self.optimizer
        repairs = None
        if repair and self.samples is not None and self.choice.repairs:
            repairs = Repair(self.choice.repairs, units, removed, self.samples, seed=self.seed)
        self.followers = [rewrite(follower, units, removed, copy=False).model for follower in self.followers]
        rewritten, _ = graph.shrink(
            self.model, units, removed, verify=self.choice.verify, copy=copy, optimizer=optimizer
        )
        if repairs is not None:
            repairs.apply(rewritten)
        self.model = rewritten.model
        self._removals.add(rewritten.kept_indices)
        self._units = None

    def prune(self, limits: Mapping[str, float] | None = None, *, repair: bool = True) -> None:
        """Score, choose and remove units so that ``limits`` (default: the budget) hold, or remove the planned units."""
        if self.planned is not None:
            assert not self._removals, "a schedule that plans ahead prunes once"
            self.remove(self.planned.removed, repair=repair)
            return
        self.remove(self.choose(self.score(), limits), repair=repair)

    def snapshot(self) -> Snapshot:
        """Return a copy of the current weights."""
        return Snapshot(copied(self.model.state_dict()), len(self._removals))

    def rewind(self, to: Snapshot) -> None:
        """Load the weights of ``to`` into the remaining network, and reset the optimizer state."""
        self._load(to.state, to.removals)

    def load_rewind_weights(self) -> None:
        """Load the rewind weights into the remaining network."""
        assert self.rewind_weights is not None, "needs_rewind_weights"
        self._load(self.rewind_weights, 0)

    def reinitialize(self, seed: int | None = None) -> None:
        """Initialize the remaining network with ``seed``, by default the session's, and reset the optimizer state.

        Weights that were initialized for the dense shapes are scaled, see ``scaled_to_inputs``.
        """
        key = self.seed if seed is None else seed
        if self.initialize is not None:
            self._load(scaled_to_inputs(self.initialize(key), self.model.state_dict()), 0)
            return
        with seeded(key):
            for module in self.model.modules():
                reset = getattr(module, "reset_parameters", None)
                if callable(reset):
                    reset()
        self._reset_state()

    def value(self, samples: int | None = None) -> float:
        """Return the current quality on validation data, or on ``samples`` samples of it; larger is better."""
        with evaluating(self.model):  # the user's evaluate may change the mode
            if samples is not None and self.reward is not None:
                value = self.reward(self.model, samples)
            elif self.evaluate is not None:
                value = self.evaluate(self.model)
            else:
                assert self.samples is not None, "needs_data"
                value = -mean_loss(self.model, self.samples)
        return float(self.broadcast(torch.tensor(value, dtype=torch.float64)))

    def savings(self) -> Tensor:
        """Savings of each unit alone as a fraction of those that the budget needs, summed over costs, (units,)."""
        saved = torch.zeros(len(self.units), dtype=torch.float64)
        for name, cost in self._costs().items():
            limit = self._limits[name]
            if cost.total() > limit:
                saved += cost.savings(limit).clamp(min=0) / (cost.total() - limit)
        return saved

    def within(self, removed: Tensor) -> bool:
        """Return whether the budget holds without the units in the mask ``removed``, (units,)."""
        costs = self._costs()
        for cost in costs.values():
            cost.remove(removed)
        return all(cost.total() <= self._limits[name] for name, cost in costs.items())

    def kept_indices(self) -> dict[str, dict[int, Tensor]]:
        """Remaining indices of sliced tensors, by dimension, in the network that the session began with."""
        return self._removals.kept_indices(self._dense_shapes)

    def plan(self, origin: Mapping[str, Any]) -> Plan:
        """Return all removals as one plan for the network at the start of the session."""
        return Plan(
            self.kept_indices(),
            self._dense_shapes,
            before=self._before,
            after=cost_of(self.units, self.model),
            exclude=tuple(self.choice.exclude),
            attention=self.choice.attention,
            origin={**origin, "budget": self.budget.model_dump(exclude_none=True)},
        )

    def _constraint_of_each(self, named: Mapping[str, Constraint]) -> tuple[Constraint, ...]:
        return tuple(named.get(group.name, Constraint()) for group in self.units.groups)

    def _costs(self) -> dict[str, CostModel]:
        """Return a model of each limited cost for the current network."""
        kept_indices = self.kept_indices()
        remapped = {
            name: RemappedCost(model, self._dense_units, self.units, kept_indices)
            for name, model in self.choice.costs.items()
        }
        return {name: remapped.get(name) or cost_model(name, self.units, self.model) for name in self.budget.costs}

    def _load(self, state: State, removals: int) -> None:
        small = self._removals.sliced(state, since=removals)
        with torch.no_grad():
            for name, tensor in self.model.state_dict().items():
                tensor.copy_(small[name])
        self._reset_state()

    def _reset_state(self) -> None:
        """Reset the optimizer state and the followers, which hold averages over other weights."""
        if self.optimizer is not None:
            self.optimizer.state.clear()
        for follower in self.followers:
            follower.load_state_dict(self.model.state_dict())
