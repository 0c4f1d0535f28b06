"""Deliberate errors of EdgePrune, each class with its exit code on the command line.

A message has four parts: what was expected, what was found, where (key, node, file) and what to do.
Errors are raised in the library and printed in one place, ``edgeprune.cli``.
"""

from __future__ import annotations

from collections.abc import Mapping


class EdgePruneError(Exception):
    """Base of all deliberate errors; ``exit_code`` is the exit code of the process."""

    exit_code = 1


class InputError(EdgePruneError):
    """An input of EdgePrune is not valid."""

    exit_code = 3


class ModelError(InputError):
    """The factory, the module or its forward cannot be used."""


class WeightsError(InputError):
    """A weights file is missing, unsafe, or does not fit the module."""


class DataError(InputError):
    """The data set is missing, empty, out of range or not finite."""


class RecipeError(InputError):
    """A recipe, or a setting in it, is not valid."""


class TargetError(InputError):
    """A target is unknown, or its file is not valid."""


class CaptureError(InputError):
    """``torch.export`` cannot turn the network into one graph."""


class PlanError(InputError):
    """A plan does not fit the network it is applied to."""


class BundleError(InputError):
    """A bundle is damaged, incomplete or of another schema."""


class MissingPackageError(InputError):
    """A Python package is not installed; the message names the extra of EdgePrune that installs it."""


class TrainingError(EdgePruneError):
    """Fine-tuning failed: the loss diverged, or its folder is damaged or belongs to another run."""

    exit_code = 1


class BudgetError(EdgePruneError):
    """A budget cannot be met, or was missed.

    Attributes:
        nearest: The closest value that can be reached, by cost.
        cause: Cause that prevents a lower value.
        frozen: Part of the dense network's cost that cannot be removed, by cost.
    """

    exit_code = 4

    def __init__(
        self,
        message: str,
        nearest: Mapping[str, float] | None = None,
        *,
        cause: str = "",
        frozen: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(message)
        self.nearest = dict(nearest or {})
        self.cause = cause
        self.frozen = dict(frozen or {})


class DeviceError(EdgePruneError):
    """A device cannot be reached, or a program on it failed."""

    exit_code = 5


class MeasurementError(EdgePruneError):
    """A measurement finished, but is not valid."""

    exit_code = 6


class EquivalenceError(EdgePruneError):
    """The pruned network is not equivalent to the dense one without the removed units."""

    exit_code = 7


class ParityError(EdgePruneError):
    """An exported model does not compute the same outputs as the network."""

    exit_code = 7
