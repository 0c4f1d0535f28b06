"""Options that ``prune`` and ``Schedule.attach`` share: those of a recipe's ``[prune]`` table as Python objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ModelWrapValidatorHandler, ValidationError, model_validator
from torch.nn import functional

from edgeprune import criteria
from edgeprune.config.prune_settings import PruneSettings
from edgeprune.config.settings_base import error_text
from edgeprune.cost import CostModel
from edgeprune.criteria import Criterion
from edgeprune.errors import InputError
from edgeprune.selection import Selection
from edgeprune.statistics import Loss, Samples


class PruneOptions(PruneSettings):
    """Options of ``prune`` and ``Schedule.attach``, checked when they are created and immutable::

        options = PruneOptions(criterion="fisher", exclude=["head*"], min_units=0.25)

    They are the settings of the ``[prune]`` table of a recipe, with the same names, defaults, ranges and meaning; see
    ``edgeprune.config.PruneSettings``. The settings below accept more or exist in Python only. An unknown option, or a
    value that is not allowed, raises InputError.

    Attributes:
        criterion: Name of the importance score, or an instance of ``edgeprune.criteria.Criterion``.
        selection: Name of the selection, or an instance of ``edgeprune.selection.Selection``.
        align: Each group keeps a multiple of this number of channels, or all channels; at least 1. There is no target
            in Python, so ``target`` is not allowed.
        loss: Mean loss of a batch, ``loss(outputs, labels)``. Defaults to cross-entropy.
        costs: Cost models that need more than the network, by name of the cost:
            ``{"latency_ms": cost_model("latency_ms", ...)}``. They describe the dense network.
        seed: Seed of all random choices. Defaults to 0.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    criterion: str | Criterion = "auto"  # type: ignore[assignment]  # wider than in a recipe
    selection: str | Selection = "auto"  # type: ignore[assignment]
    align: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    loss: Loss = functional.cross_entropy
    costs: Mapping[str, CostModel] = {}
    seed: int = 0

    @model_validator(mode="wrap")
    @classmethod
    def _raise_input_error(cls, values: Any, handler: ModelWrapValidatorHandler[PruneOptions]) -> PruneOptions:
        try:
            options = handler(values)
        except ValidationError as problem:
            raise InputError(error_text(problem, cls, where="PruneOptions")) from None
        for name in ("criterion", "selection"):
            value, arguments = getattr(options, name), getattr(options, f"{name}_options")
            if arguments and not isinstance(value, str):
                raise InputError(
                    f"'{name}_options' in PruneOptions: got {arguments!r} and an instance of "
                    f"{type(value).__name__}: pass them to its constructor"
                )
        return options

    @classmethod
    def parse(cls, values: PruneOptions | Mapping[str, Any] | None) -> PruneOptions:
        """Return ``values`` unchanged, or create options from a mapping; None: the defaults.

        Raises:
            InputError: An option is unknown, or its value is not allowed.
        """
        return values if isinstance(values, PruneOptions) else cls(**(values or {}))

    def read_samples(self, data: Iterable[Any] | None) -> Samples | None:
        """Return up to ``samples`` samples of ``data``, batches of (input, label), with ``loss``; None without data."""
        return None if data is None else Samples(data, self.loss, self.samples, self.seed)

    def create_criterion(self, name: str | None = None, *, data: bool, training: bool = False) -> Criterion:
        """Return the criterion if it is an instance; create it with ``criterion_options`` if it is a name.

        Args:
            name: Name to use in place of ``auto``. None: ``auto`` is the best one measured.
            data: Whether there are samples.
            training: Whether training follows.

        Raises:
            InputError: The criterion is unknown, does not accept the options, or needs data.
        """
        if isinstance(self.criterion, Criterion):
            return self.criterion
        return criteria.create(name or self.criterion, self.criterion_options, data=data, training=training)
