"""Results of the stages that describe the network for the report."""

from __future__ import annotations

from dataclasses import dataclass

from edgeprune.bundle.report_data import ReportCall, ReportGroup, ReportLayer, ReportSensitivity
from edgeprune.pipeline.stage_result import StageResult


@dataclass(frozen=True, kw_only=True)
class SensitivityResult(StageResult):
    """Sensitivity of the dense network to each group.

    Attributes:
        sensitivity: Sensitivity curves; None if they were not measured.
    """

    sensitivity: ReportSensitivity | None


@dataclass(frozen=True, kw_only=True)
class DescribeResult(StageResult):
    """Description of the network for the report.

    Attributes:
        criterion: Name of the criterion.
        selection: Name of the selection.
        repairs: Names of the applied repairs.
        layers: Costs of each layer.
        calls: Bytes of live activations at each call.
        groups: Units and scores of each group.
    """

    criterion: str
    selection: str
    repairs: tuple[str, ...]
    layers: tuple[ReportLayer, ...]
    calls: tuple[ReportCall, ...]
    groups: tuple[ReportGroup, ...]
