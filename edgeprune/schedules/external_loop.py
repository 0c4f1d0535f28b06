"""Pruning schedule within a user's own training loop."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Mapping
from types import TracebackType
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from edgeprune.errors import InputError
from edgeprune.schedules.base import OPTIONS, Schedule
from edgeprune.schedules.forward_override import ForwardOverride
from edgeprune.schedules.lr_curve import LrCurve
from edgeprune.schedules.replicas import Replicas
from edgeprune.schedules.session import PruningSession
from edgeprune.selection import Plan
from edgeprune.training.phase import Hook, Phase

logger = logging.getLogger(__name__)


@final
class ExternalLoop:
    """Result of ``Schedule.attach``: within its ``with`` block, optimizer updates are counted and units are removed.

    A training phase ends immediately after its last update, before the loop continues. Parameters remain the same
    objects, so that the loop's network, optimizer and scheduler remain valid. If the forward of the network has
    hard-coded sizes, it is replaced by the captured program over the same tensors.

    An optimizer whose ``step`` takes a closure cannot be used with schedules that change gradients.

    Attributes:
        step: Number of updates so far.
        done: Whether all removals are done. Further updates only train the network.
    """

    def __init__(
        self,
        schedule: Schedule,
        session: PruningSession,
        model: nn.Module,
        *,
        replicas: Replicas,
        steps: int,
        scheduler: LRScheduler | None,
    ) -> None:
        self.step = 0
        self.done = False
        self._schedule = schedule
        self._session = session
        self._steps = OPTIONS.integer("steps", steps, least=1)
        self._replicas = replicas
        self._curve = None if scheduler is None else LrCurve(scheduler)
        self._own = (model, *session.followers)
        self._run = schedule.run(session)
        self._phase = Phase(fraction=1.0)
        self._hook = Hook()
        self._begin = self._end = 0
        self._fraction = 0.0
        self._ends: list[dict[str, Any]] = []
        self._handles: list[Any] = []
        schedule.check(session)

    @property
    def model(self) -> nn.Module:
        """Current network: the user's module, or the captured program that replaces it."""
        return self._session.model

    @property
    def plan(self) -> Plan:
        """Plan of all removals so far, for the dense network."""
        choice, schedule = self._session.choice, self._schedule
        return self._session.plan(
            {
                "criterion": choice.criterion.name,
                "select": {"name": choice.selection.name, **choice.selection.options},
                "schedule": {"name": schedule.name, **schedule.options},
                "seed": self._session.seed,
            }
        )

    def __enter__(self) -> ExternalLoop:
        optimizer = self._session.optimizer
        assert optimizer is not None
        self._advance()
        self._handles = [
            optimizer.register_step_pre_hook(self._before_update),
            optimizer.register_step_post_hook(self._after_update),
        ]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        if kind is not None or self.done:
            return
        logger.warning(
            "%s: training ended after %d of %d steps, so the remaining units are removed without further training",
            self._schedule.name, self.step, self._steps,
        )  # fmt: skip
        while not self.done:
            self._end_phase()

    def state_dict(self) -> dict[str, Any]:
        """Return the state as tensors and plain values, including the weights at the end of every phase, on the CPU.

        The states of the network, the optimizer and the scheduler must be saved separately.
        """
        return {
            "step": self.step,
            "ends": self._ends,
            "hook": self._hook.state_dict(),
            "kept": self._session.kept_indices(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state of ``state_dict``, in the ``with`` block and before any update.

        Attach to the dense network with its original weights. Call this method before loading the states of the
        network, the optimizer and the scheduler, because it repeats all removals and so restores their shapes.

        Raises:
            InputError: There were updates before, or other units would be removed.
        """
        if self.step:
            raise InputError(
                f"schedule: load_state_dict must be called before the first update, but {self.step} updates were made"
            )
        for end in state["ends"]:
            self._expect(end["kept"])
            self._hook.load_state_dict(end["hook"])
            self.step = self._end
            self._end_phase(end["model"])
        self._expect(state["kept"])
        self._hook.load_state_dict(state["hook"])
        self.step = state["step"]

    def _expect(self, kept_indices: Mapping[str, Mapping[int, Tensor]]) -> None:
        """Raise InputError unless the network has the same units as before the interruption."""
        own, expected = (
            {(name, dim): index for name, dims in removals.items() for dim, index in dims.items()}
            for removals in (self._session.kept_indices(), kept_indices)
        )
        if own.keys() != expected.keys() or not all(torch.equal(own[key], expected[key]) for key in own):
            raise InputError(
                f"schedule: load_state_dict: {self._schedule.name} removes other units than the state: attach "
                "to the same dense network, with the same weights, options and data as before"
            )

    def _before_update(self, *_: Any) -> None:
        if self.done:
            return
        if self.step == self._begin and self._curve is not None:
            self._curve.enter(self._phase, self._end - self._begin)
        self._hook.before_update(self.step - self._begin)

    def _after_update(self, *_: Any) -> None:
        self.step += 1
        if self.done:
            return
        self._hook.after_update(self.step - 1 - self._begin)
        if self.step == self._end:
            self._end_phase()

    def _end_phase(self, weights: Mapping[str, Any] | None = None) -> None:
        """End the phase and continue the schedule, with ``weights`` in place of the current ones if given."""
        hook = self._hook.state_dict()
        self._hook.end()
        if weights is not None:
            self._session.model.load_state_dict(weights)
        if self._curve is not None:
            self._curve.at = self._phase.rate[1]
        state = {name: tensor.detach().cpu().clone() for name, tensor in self._session.model.state_dict().items()}
        self._ends.append({"model": state, "hook": copy.deepcopy(hook), "kept": self._session.kept_indices()})
        self._advance()

    def _advance(self) -> None:
        """Let the schedule change the network, up to the next phase."""
        phase = next(self._run, None)
        for module, current in zip(self._own, (self._session.model, *self._session.followers), strict=True):
            if current is not module:
                module.forward = ForwardOverride(module, current)
        self._replicas.renew()
        if phase is None:
            self.done, self._hook = True, Hook()
            return
        if not self._fraction and phase.fraction * self._steps < 1 - 1e-9:
            raise InputError(
                f"schedule: steps: got {self._steps}, but each phase of {self._schedule.name} needs at least one: "
                f"pass a whole number of at least {math.ceil(1 / phase.fraction - 1e-9)}"
            )
        self._fraction += phase.fraction
        self._begin, self._end = self._end, max(self._end + 1, round(self._fraction * self._steps))
        self._phase, self._hook = phase, phase.hook or Hook()
        if phase.reset_optimizer and self._session.optimizer is not None:
            self._session.optimizer.state.clear()
        self._hook.begin(self._end - self._begin)
