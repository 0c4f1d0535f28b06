"""``report.json``: data of ``report.html`` that neither the manifest nor the profile contains.

It contains no timings, so it is one of the reproducible files of a bundle.
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
from edgeprune.bundle.schema_migration import migrate_report
from edgeprune.errors import BundleError

NAME = "report.json"
SCHEMA = 2
_MAX_BYTES = 256 << 20

Units = Annotated[int, Field(ge=1)]

Pair = tuple[Count, Count]
"""Value of the dense network, and value of the pruned network."""


class RequestedSettings(ManifestPart):
    """Settings of the recipe and the target that the report shows.

    Attributes:
        description: Description of the recipe.
        budget: Limits as written in the recipe, by cost.
        criterion: Name of the importance score.
        selection: Name of the selection.
        repairs: Names of the repairs before training.
        schedule: Name of the pruning schedule.
        options: Options of the pruning schedule.
        epochs: Number of training epochs.
        precision: Requested precision, or ``auto``.
        max_accuracy_drop: Accuracy that a quantized model may lose, as a fraction.
        target: Description of the target.
        runtime: Name of the target's runtime.
        versions: Supported versions of the runtime, as a pip version specifier.
        hardware: Properties of the board, by name.
    """

    description: str = ""
    budget: Mapping[str, Figure | str]
    criterion: str
    selection: str
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
                raise ValueError(f"hardware.{name}: got {value!r:.80}, must be a number of bytes")
        return self


class ReportLayer(ManifestPart):
    """A layer with multiply-adds; see ``edgeprune.cost.cost_breakdown.LayerCost``.

    Attributes:
        name: Name of the layer.
        kind: Type of the layer.
        channels: Number of output channels of the dense and of the pruned network; None if not defined.
        macs: Number of multiply-adds in the dense and in the pruned network.
    """

    name: str
    kind: str
    channels: Pair | None
    macs: Pair


class ReportCall(ManifestPart):
    """An operation that computes a tensor, and the live activations at that point.

    Attributes:
        name: Name of the operation.
        kind: Type of the operation.
        bytes: Size of the live activations in the dense and in the pruned network, in bytes.
    """

    name: str
    kind: str
    bytes: Pair


class ReportGroup(ManifestPart):
    """A group of units.

    Attributes:
        name: Name of the group.
        units: Number of units in the dense network.
        remaining_units: Number of units in the pruned network.
        frozen: Reason why the group cannot be pruned; None if it can.
        layers: Names of the layers that compute the units.
        remaining_scores: Scores of the remaining units in ascending order; empty for a frozen group, or without scores.
        removed_scores: Scores of the removed units in ascending order; empty for a frozen group, or without scores.
    """

    name: str
    units: Units
    remaining_units: Count
    frozen: str | None = None
    layers: tuple[str, ...] = ()
    remaining_scores: tuple[Figure, ...] = ()
    removed_scores: tuple[Figure, ...] = ()

    @model_validator(mode="after")
    def _check_counts(self) -> ReportGroup:
        if self.remaining_units > self.units:
            raise ValueError(f"left: got {self.remaining_units}, must be at most {self.units}, the units of the group")
        return self


class SensitivityPoint(ManifestPart):
    """Result for the dense network with ``remaining_units`` units of one group, and all units of the other groups.

    Attributes:
        remaining_units: Number of remaining units of the group.
        loss: Loss on validation samples.
        accuracy: Accuracy on validation samples; None if the outputs are not class logits.
    """

    remaining_units: Count
    loss: Figure
    accuracy: Figure | None


class SensitivityCurve(ManifestPart):
    """Loss of the network by the number of units in one group, without repair or training.

    Attributes:
        group: Name of the group.
        units: Number of units of the group in the dense network.
        points: Measured points.
    """

    group: str
    units: Units
    points: Annotated[tuple[SensitivityPoint, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _check_counts(self) -> SensitivityCurve:
        if any(point.remaining_units > self.units for point in self.points):
            raise ValueError(f"points: kept must be at most {self.units}, the units of the group")
        return self


class ReportSensitivity(ManifestPart):
    """Sensitivity of all groups; see ``edgeprune.selection.sensitivity_scan``.

    Attributes:
        samples: Number of validation samples.
        loss: Loss of the dense network on these samples.
        accuracy: Accuracy of the dense network on these samples; None if the outputs are not class logits.
        groups: Sensitivity of each group that can be pruned.
    """

    samples: Count
    loss: Figure
    accuracy: Figure | None
    groups: tuple[SensitivityCurve, ...]

    @model_validator(mode="after")
    def _check_lengths(self) -> ReportSensitivity:
        if len({len(curve.points) for curve in self.groups}) > 1:
            raise ValueError("groups: all curves must have the same number of points")
        return self


class TrainingPhase(ManifestPart):
    """One phase of training.

    Attributes:
        macs: Number of multiply-adds of the trained network.
        accuracy: Accuracy on validation samples at the end of the phase; None if no epoch ended in it.
    """

    macs: Count
    accuracy: Figure | None


class OutputError(ManifestPart):
    """Difference of one output from PyTorch; see ``edgeprune.export.parity.OutputParity``.

    Attributes:
        ok: Whether the difference is within the limits of the target for this precision.
    """

    index: int
    relative_error: float
    channel_error: float
    channel: int
    dimension: int
    ok: bool


class PrecisionVariant(ManifestPart):
    """Comparison of one precision of the pruned network with PyTorch on the same validation samples.

    Attributes:
        accuracy: Top-1 accuracy on the runtime; None if the outputs are not class logits.
        top1_agreement: Fraction of samples with the same class as in PyTorch; None if the outputs are not class logits.
        max_error: Largest absolute difference of an output.
        relative_error: ``max_error`` divided by the largest output.
        samples: Number of compared samples.
        outputs: Differences of each output.
        problem: Reason why there is no model file in this precision; the other attributes are then None.
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
        settings: Settings of the recipe and the target.
        layers: Layers with multiply-adds, in the order of execution.
        calls: Operations that compute tensors, in the order of execution.
        groups: Groups of units, in the order of execution.
        sensitivity: Sensitivity of each group to pruning; None if not measured.
        start: Validation accuracy of the trained network before the first step of a schedule; None if not measured.
        steps: Training phases in order.
        epochs: Training epochs in order.
        variants: Comparison of each model file with PyTorch, by precision.
    """

    schema_version: Literal[2] = Field(default=2, alias="schema")
    settings: RequestedSettings
    layers: tuple[ReportLayer, ...]
    calls: tuple[ReportCall, ...]
    groups: tuple[ReportGroup, ...]
    sensitivity: ReportSensitivity | None = None
    start: Figure | None = None
    steps: tuple[TrainingPhase, ...] = ()
    epochs: tuple[EpochReport, ...] = ()
    variants: Mapping[str, PrecisionVariant]

    def to_json(self) -> str:
        """Return the text of ``report.json``, which is reproducible."""
        values = self.model_dump(mode="json", by_alias=True)
        return json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"

    @classmethod
    def load(cls, folder: Path) -> ReportData:
        """Load the report data of the bundle ``folder``.

        Raises:
            BundleError: The file is missing, damaged, or has a newer schema.
        """
        path = folder / NAME
        try:
            values = migrate_report(safe_json.load(path, max_bytes=_MAX_BYTES))
            return cls.model_validate({**values, "schema": values["schema"]})
        except OSError as problem:
            raise BundleError(
                f"cannot read {path}, which the report needs: {problem.strerror}; build the bundle again"
            ) from problem
        except ValidationError as problems:
            raise BundleError(f"{path} is not a report of schema {SCHEMA}: {strict_json.described(problems)}") from None
        except (ValueError, TypeError, KeyError) as problem:
            raise BundleError(f"{path} is not a report of schema {SCHEMA}: {problem!r}") from problem
