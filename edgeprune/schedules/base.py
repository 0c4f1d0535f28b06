"""What a schedule is: when units go, and what is trained in between."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from edgeprune.errors import InputError
from edgeprune.model.registry import Registry
from edgeprune.schedules.session import Session
from edgeprune.training.stretch import Stretch


class Schedule(ABC):
    """Brings a network within its budget in the course of its training.

    Options are arguments of the constructor, which checks them and raises InputError with the rule and the value got;
    it keeps each under its name.
    """

    name: ClassVar[str]
    starts: ClassVar[Literal["trained", "fresh"]] = "trained"
    """The weights it is meant for: those of a trained network, or those a network begins with."""
    needs_early: ClassVar[bool] = False
    """Whether it goes back to weights from early in the training of the dense network, which must be given."""
    needs_data: ClassVar[bool] = False
    """Whether it looks at samples of its own accord, whatever the criterion needs."""

    @property
    def options(self) -> dict[str, Any]:
        """What it was made with: the arguments of its constructor."""
        return {key: getattr(self, key) for key in inspect.signature(type(self)).parameters}

    def check(self, session: Session) -> None:
        """Before any step is spent: whether ``session`` has what this looks at.

        Raises:
            InputError: There is no data, or there are no weights of early training, or some that do not fit.
        """
        if self.needs_data and session.samples is None:
            raise InputError(f"schedule: {self.name} looks at data, and there is none; give data=...")
        if self.needs_early:
            _check_early(session, self.name)

    @abstractmethod
    def run(self, session: Session) -> Iterator[Stretch]:
        """Prune ``session`` until its budget holds; yields each stretch of training, done when it goes on.

        The shares of all stretches sum to 1. It may be run again from the same weights to take up an interrupted run,
        and must then do the same: what it draws at random it draws from ``session.seed``.

        Raises:
            BudgetError: The budget cannot be reached; names the closest value.
        """


_registry: Registry[Schedule] = Registry(Schedule, "schedule")
register = _registry.register
registered = _registry.registered
find = _registry.find


def create(name: str, options: Mapping[str, Any] | None = None, *, base: Path | None = None) -> Schedule:
    """The schedule called ``name``, made with ``options``.

    Args:
        name: One of ``registered()``; ``package.module:Class`` or ``file.py:Class`` for one's own.
        options: Arguments of its constructor.
        base: Folder that file names are relative to; None: the working folder.

    Raises:
        InputError: There is none (names the nearest), or it does not take the options.
    """
    return _registry.make(_registry.find(name, base), options)


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


def number(option: str, value: float, *, least: float = 0.0, most: float = math.inf, between: bool = False) -> float:
    """``value``; raises InputError unless it is from ``least`` to ``most``; ``between`` leaves the two out."""
    is_number = not isinstance(value, bool) and isinstance(value, (int, float))
    if not is_number or not (least < value < most if between else least <= value <= most):
        lower = f"{'above' if between else 'at least'} {least:g}"
        upper = "" if math.isinf(most) else f" and {'below' if between else 'at most'} {most:g}"
        raise InputError(f"schedule: {option}: got {value!r}; allowed is a number {lower}{upper}")
    return value


def whole(option: str, value: Any, *, least: int) -> int:
    """``value``; raises InputError unless it is a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"schedule: {option}: got {value!r}; allowed is a whole number, at least {least}")
    return value


def one_of(option: str, value: Any, allowed: tuple[str, ...]) -> str:
    """``value``; raises InputError unless it is one of ``allowed``."""
    if value not in allowed:
        raise InputError(f"schedule: {option}: got {value!r}; allowed are {', '.join(map(repr, allowed))}")
    return str(value)
