"""Base class of schedules, which say when units are removed and what is trained in between."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import nn
from torch.nn import functional
from torch.optim.lr_scheduler import LRScheduler

from edgeprune import criteria, graph
from edgeprune import select as selections
from edgeprune.config import Budget
from edgeprune.cost import CostModel
from edgeprune.criteria import Criterion
from edgeprune.errors import InputError
from edgeprune.model.option_checks import OptionChecks
from edgeprune.model.registry import Registry, options_of
from edgeprune.model.wrappers import unwrap
from edgeprune.repair import chosen_repairs
from edgeprune.schedules.removals import State
from edgeprune.schedules.session import Session
from edgeprune.schedules.session_options import Choice
from edgeprune.select import Selection
from edgeprune.statistics import Loss, Samples
from edgeprune.training.stretch import Stretch

if TYPE_CHECKING:
    from edgeprune.schedules.attached import Attached


class Schedule(ABC):
    """Brings a network within its budget in the course of its training.

    Options are arguments of the constructor, which checks them and raises InputError with the rule and the value got;
    it keeps each under its name.
    """

    name: ClassVar[str]
    starts: ClassVar[Literal["trained", "fresh"]] = "trained"
    """The weights it is meant for: those of a trained network, or those a network begins with."""
    plans_ahead: ClassVar[bool] = False
    """Whether it begins with one call of ``session.prune()`` and removes nothing later.

    A build then compares candidates, scores and selects in stages of their own, whose results it keeps.
    """
    needs_early: ClassVar[bool] = False
    """Whether it goes back to weights from early in the training of the dense network, which must be given."""
    needs_data: ClassVar[bool] = False
    """Whether it looks at samples of its own accord, whatever the criterion needs."""

    @property
    def options(self) -> dict[str, Any]:
        """Options: the arguments of its constructor."""
        return {key: getattr(self, key) for key in options_of(type(self))}

    def check(self, session: Session) -> None:
        """Before any step is spent: whether ``session`` has what this looks at.

        Raises:
            InputError: There is no data, or there are no weights of early training, or some that do not fit.
        """
        if self.needs_data and session.samples is None:
            raise InputError(f"schedule: {self.name} looks at data, and there is none; give data=...")
        if self.needs_early:
            _check_early(session, self.name)

    def attach(
        self,
        model: nn.Module,
        example: graph.Example,
        *,
        optimizer: torch.optim.Optimizer,
        budget: Budget | Mapping[str, Any],
        steps: int,
        scheduler: LRScheduler | None = None,
        ema: nn.Module | None = None,
        criterion: str | Criterion = "auto",
        data: Iterable[Any] | None = None,
        loss: Loss = functional.cross_entropy,
        samples: int = 1024,
        select: str | Selection = "global",
        costs: Mapping[str, CostModel] | None = None,
        repair: str | Sequence[str] | None = "auto",
        exclude: Sequence[str] = (),
        min_units: float | None = None,
        align: int = 1,
        attention: str = "heads",
        verify: bool = True,
        early: State | None = None,
        fresh: Callable[[int], State] | None = None,
        judge: Callable[[nn.Module], float] | None = None,
        seed: int = 0,
    ) -> Attached:
        """Prune within a training loop of one's own: ``with ...attach(...) as pruning:`` around it, unchanged.

        ``pruning.model`` is the network, ``pruning.plan`` what was removed. Leaving the block before ``steps`` updates
        brings the network within the budget without those that are missing; leaving it by an exception does nothing.

        Args:
            model: What the loop trains, from the weights it has; changed in place. DistributedDataParallel goes on
                with the new shapes, and process 0 decides, by its data.
            example: Inputs, as a tuple of tensors or a mapping of keyword arguments.
            optimizer: Trains it; momentum and moments are sliced along.
            budget: Upper limits, in the end.
            steps: Updates in all; further ones are plain training.
            scheduler: Of the learning rate, stepped at every update, its curve as long as a stretch of the schedule.
                It is set back to its initial state where a stretch begins the curve anew, and stepped ahead where it
                begins late. None: the rate is the loop's own business.
            ema: An average of the weights, such as torch.optim.swa_utils.AveragedModel; sliced along.
            criterion: Name of the importance score, or one made by hand; ``auto`` is the best one measured.
            data: Batches of (input, label) to score and repair with, read several times.
            loss: ``loss(outputs, labels)`` of a batch, its mean.
            samples: To read of ``data`` at most.
            select: Name of the selection, or one made by hand.
            costs: Models of costs that need more than the network, made for ``model`` as it is now.
            repair: What makes up for removed units, at every removal, see ``edgeprune.prune``.
            exclude: Globs over layer names that must stay whole.
            min_units: Least that stays of each group, a share in (0, 1] or a number of units above 1.
            align: What stays of each group is a multiple of so many channels, or all.
            attention: ``heads`` removes whole heads, ``head_dim`` the same positions in each.
            verify: Whether to run the equivalence check after every removal.
            early: Weights of the dense network from early in its training, for schedules that go back to them.
            fresh: Gives weights to begin with, by seed; None: ``reset_parameters`` of the layers.
            judge: How good a network is, larger is better; None: by the loss on ``data``.
            seed: Of what is drawn.

        Raises:
            InputError: An option that is not allowed, or something that the schedule needs is missing.
            BudgetError: The budget cannot be reached; on entering the block, if not later.
        """
        from edgeprune.schedules.attached import Attached
        from edgeprune.schedules.parallel import Replicas

        own, replicas = unwrap(model), Replicas(model)
        graph.check_optimizer(optimizer, own, copy=False)
        given = None if data is None else Samples(data, loss, samples, seed)
        known = given is not None
        choice = Choice(
            criteria.create(criterion, data=known, training=True) if isinstance(criterion, str) else criterion,
            selections.create(select) if isinstance(select, str) else select,
            repairs=chosen_repairs(repair, data=known, training=True),
            constraints=lambda units: selections.resolve(units, min_units=min_units, align=align),
            exclude=exclude,
            attention=attention,
            costs=costs or {},
            verify=verify,
        )
        session = Session(
            own,
            example,
            Budget.parse(budget),
            choice,
            optimizer=optimizer,
            samples=given,
            seed=seed,
            followers=() if ema is None else (unwrap(ema),),
            early=early,
            fresh=fresh,
            judge=judge,
            agree=replicas.agree,
        )
        return Attached(self, session, own, replicas=replicas, steps=steps, scheduler=scheduler)

    @abstractmethod
    def run(self, session: Session) -> Iterator[Stretch]:
        """Prune ``session`` until its budget holds; yields each stretch of training, done when it goes on.

        The shares of all stretches sum to 1. It may be run again from the same weights to take up an interrupted run,
        and must then do the same: what it draws at random it draws from ``session.seed``.

        Raises:
            BudgetError: The budget cannot be reached; names the closest value.
        """


OPTIONS = OptionChecks("schedule")
_registry: Registry[Schedule] = Registry(Schedule, "schedule")
register = _registry.register
registered = _registry.registered
find = _registry.find
create = _registry.create


def _check_early(session: Session, schedule: str) -> None:
    if session.early is None:
        raise InputError(
            f"schedule: {schedule} goes back to weights from early in the training of the dense network; give "
            "early=..., a state dict of it"
        )
    for name, tensor in session.model.state_dict().items():
        got = tuple(session.early[name].shape) if name in session.early else "missing"
        if got != tuple(tensor.shape):
            raise InputError(
                f"schedule: {schedule}: early weights: {name} is {got}, but {tuple(tensor.shape)} in the network; give "
                "those of this very network while it was dense"
            )
