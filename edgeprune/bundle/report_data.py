"""``report.json``: what ``report.html`` tells that neither the manifest nor the profile has.

It holds no timing, so that it belongs to the reproducible files of a bundle.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from edgeprune import safe_json
from edgeprune.bundle import strict_json
from edgeprune.bundle.pruning_report import EpochReport
from edgeprune.bundle.schema_base import Count, Figure, ManifestPart
from edgeprune.errors import BundleError

NAME = "report.json"
SCHEMA = 1
_MAX_BYTES = 256 << 20

Units = Annotated[int, Field(ge=1)]

Pair = tuple[Count, Count]
"""A value of the dense network, and of the pruned one."""


class RequestedSettings(ManifestPart):
    """Settings of recipe and target that the report shows.

    Attributes:
        description: Of the recipe.
        budget: Limits as they were given, by cost.
        criterion: That scored the units.
        select: How scores became a plan.
        repairs: Made before training.
        schedule: Its name, and its options.
        epochs: Of training.
        precision: Demanded, or ``auto``.
        max_accuracy_drop: Share that a quantised model may lose.
        target: Its description.
        runtime: There, and its versions as pip writes them.
        hardware: Facts about the board, by name.
    """

    description: str = ""
    budget: Mapping[str, Figure | str]
    criterion: str
    select: str
    repairs: tuple[str, ...] = ()
    schedule: str
    options: Mapping[str, Any] = {}
    epochs: Count
    precision: str
    max_accuracy_drop: Figure
    target: str = ""
    runtime: str
    versions: str = ""
    hardware: Mapping[str, Any] = {}

    @model_validator(mode="after")
    def _check_sizes(self) -> RequestedSettings:
        for name, value in self.hardware.items():
            if name.endswith("_bytes") and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
                raise ValueError(f"hardware.{name} must be a number of bytes")
        return self


class ReportLayer(ManifestPart):
    """A call that multiplies; see ``edgeprune.cost.cost_breakdown.LayerCost``."""

    name: str
    kind: str
    channels: Pair | None
    macs: Pair


class ReportCall(ManifestPart):
    """A call that makes a tensor, and the activation bytes alive then."""

    name: str
    kind: str
    bytes: Pair


class ReportGroup(ManifestPart):
    """A group of units.

    Attributes:
        name: Of the group.
        units: How many there were.
        frozen: Why none may go; None where some may.
        layers: That make it.
        kept: Scores of the units that stay, rising; empty for a frozen group, or where there are no scores.
        removed: Scores of those that went, likewise.
        left: Units that stay.
    """

    name: str
    units: Units
    left: Count
    frozen: str | None = None
    layers: tuple[str, ...] = ()
    kept: tuple[Figure, ...] = ()
    removed: tuple[Figure, ...] = ()

    @model_validator(mode="after")
    def _check_counts(self) -> ReportGroup:
        if self.left > self.units:
            raise ValueError(f"{self.left} of {self.units} units are left")
        return self


class SensitivityPoint(ManifestPart):
    """The dense network with ``kept`` units of one group, and all of the others."""

    kept: Count
    loss: Figure
    accuracy: Figure | None


class SensitivityCurve(ManifestPart):
    """Loss of the network when one group shrinks, without repair or training."""

    group: str
    units: Units
    points: Annotated[tuple[SensitivityPoint, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _check_counts(self) -> SensitivityCurve:
        if any(point.kept > self.units for point in self.points):
            raise ValueError(f"a point keeps more than the {self.units} units of the group")
        return self


class ReportSensitivity(ManifestPart):
    """See ``edgeprune.selection.sensitivity_scan.Measured``.

    Attributes:
        samples: Of the validation split.
        loss: Of the dense network on them; ``accuracy`` likewise, None where outputs are no logits of classes.
        groups: Those that can be pruned.
    """

    samples: Count
    loss: Figure
    accuracy: Figure | None
    groups: tuple[SensitivityCurve, ...]

    @model_validator(mode="after")
    def _check_lengths(self) -> ReportSensitivity:
        if len({len(curve.points) for curve in self.groups}) > 1:
            raise ValueError("the groups have different numbers of points")
        return self


class TrainingPhase(ManifestPart):
    """A stretch of training.

    Attributes:
        macs: Of the network that was trained.
        accuracy: On validation samples at its end; None where no epoch ended in it.
    """

    macs: Count
    accuracy: Figure | None


class OutputError(ManifestPart):
    """One output of a file against PyTorch; see ``edgeprune.export.parity.OutputParity``.

    Attributes:
        ok: Whether the output keeps the target's limits for this precision.
    """

    index: int
    relative_error: float
    channel_error: float
    channel: int
    dimension: int
    ok: bool


class PrecisionVariant(ManifestPart):
    """The pruned network in one precision, on its runtime, against PyTorch on the same validation samples.

    Attributes:
        accuracy: On them, the top-1 share; None where outputs are no logits of classes.
        top1_agreement: Share with the same class as PyTorch; None likewise.
        max_error: Largest absolute difference of an output; ``relative_error`` is over the largest output.
        samples: Compared.
        outputs: Each output by itself.
        problem: Why there is no such file; then the rest is None.
    """

    accuracy: float | None = None
    top1_agreement: float | None = None
    max_error: float | None = None
    relative_error: float | None = None
    samples: int | None = None
    outputs: tuple[OutputError, ...] = ()
    problem: str | None = None


class ReportData(ManifestPart):
    """``report.json``; the key ``schema`` is the attribute ``schema_version``.

    Attributes:
        asked: For.
        layers: In the order of the program; ``calls`` and ``groups`` likewise.
        sensitivity: What is lost as each group shrinks alone; None: not measured.
        start: Validation accuracy of the trained network before the first step of a schedule; None: not measured.
        steps: Stretches of training, in order.
        epochs: Of training, in order.
        forms: By precision.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    asked: RequestedSettings
    layers: tuple[ReportLayer, ...]
    calls: tuple[ReportCall, ...]
    groups: tuple[ReportGroup, ...]
    sensitivity: ReportSensitivity | None = None
    start: Figure | None = None
    steps: tuple[TrainingPhase, ...] = ()
    epochs: tuple[EpochReport, ...] = ()
    forms: Mapping[str, PrecisionVariant]

    def to_json(self) -> str:
        """The text of ``report.json``: the same for the same values."""
        values = self.model_dump(mode="json", by_alias=True)
        return json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"

    @classmethod
    def load(cls, folder: Path) -> ReportData:
        """Those of the bundle ``folder``.

        Raises:
            BundleError: The file is missing, damaged, or of a newer schema.
        """
        path = folder / NAME
        try:
            values = safe_json.load(path, max_bytes=_MAX_BYTES)
            return cls.model_validate({**values, "schema": values["schema"]})
        except OSError as problem:
            raise BundleError(f"cannot read {path}: {problem.strerror}; a report needs it: build again") from problem
        except ValidationError as problems:
            raise BundleError(f"{path} is not a report of schema {SCHEMA}: {strict_json.described(problems)}") from None
        except (ValueError, TypeError, KeyError) as problem:
            raise BundleError(f"{path} is not a report: {problem!r}") from problem
