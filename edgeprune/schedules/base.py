"""Base class of schedules, which decide when units are removed and how the network is trained in between."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import nn

from edgeprune import graph
from edgeprune import selection as selections
from edgeprune.config import Budget
from edgeprune.errors import InputError
from edgeprune.model.module_wrappers import unwrap
from edgeprune.model.option_checks import OptionChecks
from edgeprune.model.registry import Registry, options_of
from edgeprune.prune_options import PruneOptions
from edgeprune.repair import chosen_repairs
from edgeprune.schedules.loop_options import LoopOptions
from edgeprune.schedules.session import PruningSession
from edgeprune.schedules.session_options import Choice
from edgeprune.training.phase import Phase

if TYPE_CHECKING:
    from edgeprune.schedules.external_loop import ExternalLoop


class Schedule(ABC):
    """Base of schedules, which bring a network within its budget during its training.

    Options are arguments of the constructor. It checks them, raises InputError with the rule and the value, and stores
    each as an attribute of the same name.
    """

    name: ClassVar[str]
    starts: ClassVar[Literal["trained", "initial"]] = "trained"
    """Weights that the schedule starts from: those of a trained network, or those of a newly initialized one."""
    plans_ahead: ClassVar[bool] = False
    """Whether the schedule begins with one call of ``session.prune()`` and removes nothing later.

    A build then compares candidates, scores and selects in separate stages, whose results it caches.
    """
    needs_rewind_weights: ClassVar[bool] = False
    """Whether the schedule rewinds to weights from early in the training of the dense network, given by the user."""
    needs_data: ClassVar[bool] = False
    """Whether the schedule itself needs samples, whatever the criterion needs."""

    @property
    def options(self) -> dict[str, Any]:
        """Options by name: the arguments of the constructor."""
        return {key: getattr(self, key) for key in options_of(type(self))}

    def check(self, session: PruningSession) -> None:
        """Check before the first step that ``session`` has the inputs that this schedule needs.

        Raises:
            InputError: Data or rewind weights are missing, or the rewind weights do not fit.
        """
        if self.needs_data and session.samples is None:
            raise InputError(f"schedule: {self.name} needs data: pass data=...")
        if self.needs_rewind_weights:
            _check_rewind_weights(session, self.name)

    def attach(
        self,
        model: nn.Module,
        example: graph.Example,
        *,
        optimizer: torch.optim.Optimizer,
        budget: Budget | Mapping[str, Any],
        steps: int,
        data: Iterable[Any] | None = None,
        options: PruneOptions | Mapping[str, Any] | None = None,
        loop: LoopOptions | None = None,
    ) -> ExternalLoop:
        """Prune within a training loop of your own, which stays unchanged:

            with Iterative(rounds=3).attach(
                model, (x,), optimizer=optimizer, budget={"macs": 0.5}, steps=1000, data=loader
            ) as pruning:
                train(model, optimizer)
            small = pruning.model  # pruning.plan lists what was removed

        If the block ends before ``steps`` updates, the remaining removals are made without training. If it ends with an
        exception, nothing more is removed.

        No candidates are compared. ``auto`` therefore means the best measured criterion, the selection ``global``, and
        any number of channels.

        Args:
            model: Network that the loop trains, from its current weights; it is changed in place. A
                DistributedDataParallel keeps working with the new shapes, and process 0 decides, by its data.
            example: Inputs, as a tuple of tensors or a mapping of keyword arguments.
            optimizer: Optimizer of ``model``; its state is sliced with the parameters.
            budget: Upper limits by cost at the end, as for ``edgeprune.prune``.
            steps: Number of updates in which the schedule prunes, at least 1; later updates are plain training.
            data: Batches of (input, label) for scores and repair, which are read several times.
            options: Options, or a mapping of them; repair and equivalence check apply to every removal. Cost models
                describe ``model`` as it is now. Defaults to ``PruneOptions()``.
            loop: Other objects of the training loop. Defaults to ``LoopOptions()``.

        Raises:
            InputError: An option is not valid, or something that the schedule needs is missing.
            BudgetError: The budget cannot be reached; raised at the start of the block or later.
        """
        from edgeprune.schedules.external_loop import ExternalLoop
        from edgeprune.schedules.replicas import Replicas

        options, loop = PruneOptions.parse(options), loop or LoopOptions()
        own, replicas = unwrap(model), Replicas(model)
        graph.check_optimizer(optimizer, own, copy=False)
        samples = options.read_samples(data)
        session = PruningSession(
            own,
            example,
            Budget.parse(budget),
            _choice(options, data=samples is not None),
            optimizer=optimizer,
            samples=samples,
            seed=options.seed,
            followers=() if loop.ema is None else (unwrap(loop.ema),),
            rewind_weights=loop.rewind_weights,
            initialize=loop.initialize,
            evaluate=loop.evaluate,
            broadcast=replicas.broadcast,
        )
        return ExternalLoop(self, session, own, replicas=replicas, steps=steps, scheduler=loop.scheduler)

    @abstractmethod
    def run(self, session: PruningSession) -> Iterator[Phase]:
        """Prune ``session`` until its budget holds; yield each phase of training, which ends before ``run`` resumes.

        The fractions of all phases sum to 1. To resume an interrupted run, ``run`` is called again with the same
        weights and must do the same, so all random choices must depend on ``session.seed`` alone.

        Raises:
            BudgetError: The budget cannot be reached; the message names the closest value.
        """


OPTIONS = OptionChecks("schedule")
_registry: Registry[Schedule] = Registry(Schedule, "schedule")
register = _registry.register
registered = _registry.registered
find = _registry.find
create = _registry.create


def _choice(options: PruneOptions, *, data: bool) -> Choice:
    """Return the choice that ``options`` describe, where no candidates are compared."""
    selection = options.selection
    if isinstance(selection, str):
        selection = selections.create("global" if selection == "auto" else selection, options.selection_options)
    align = 1 if options.align == "auto" else options.align
    return Choice(
        options.create_criterion(data=data, training=True),
        selection,
        repairs=chosen_repairs(options.repair, data=data, training=True),
        constraints=lambda units: selections.resolve(
            units, min_units=options.min_units, align=align, layers=options.layers
        ),
        exclude=options.exclude,
        attention=options.attention,
        costs=options.costs,
        verify=options.verify,
    )


def _check_rewind_weights(session: PruningSession, schedule: str) -> None:
    weights = session.rewind_weights
    if weights is None:
        raise InputError(
            f"schedule: {schedule} needs weights from early in the training of the dense network: pass "
            "rewind_weights=..., a state dict"
        )
    for name, tensor in session.model.state_dict().items():
        shape = tuple(weights[name].shape) if name in weights else "missing"
        if shape != tuple(tensor.shape):
            raise InputError(
                f"schedule: {schedule}: rewind_weights: {name} is {shape}, but {tuple(tensor.shape)} in the network: "
                "pass the weights of the same network before it was pruned"
            )
