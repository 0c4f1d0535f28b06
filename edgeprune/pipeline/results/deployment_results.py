"""Results of the stages that measure, choose and pack the shipped model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgeprune.bundle.microcontroller_report import AgreementReport, FootprintReport, LatencyEstimate
from edgeprune.config.target import Precision
from edgeprune.pipeline.stage_result import ResultFile, StageResult


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """RAM, flash and estimated latency of a model file on a microcontroller.

    Attributes:
        memory: RAM and flash.
        latency: Estimated latency.
    """

    memory: FootprintReport
    latency: LatencyEstimate


@dataclass(frozen=True, kw_only=True)
class FootprintsResult:
    """Footprints on a target whose memory can be computed without a device.

    Attributes:
        dense: Footprint of the dense network.
        shipped: Footprint of the pruned network.
        agreement: Comparison of the outputs of the target's kernels and of this machine; None if the file is not
            quantized.
    """

    dense: Footprint
    shipped: Footprint
    agreement: AgreementReport | None


@dataclass(frozen=True, kw_only=True)
class ProfileResult(StageResult):
    """Latency and memory of the dense and the pruned network.

    Attributes:
        profile: File of the profile.
        footprints: RAM and flash computed without a device; None if only a device can measure them.
    """

    profile: ResultFile
    footprints: FootprintsResult | None


@dataclass(frozen=True, kw_only=True)
class ChoiceResult(StageResult):
    """Selected precision.

    Attributes:
        precision: Selected precision.
        reason: Reason of the selection, for users.
        other_precisions: Other precisions in the bundle, for a board that measures which one is the fastest.
        int8: Measured result of the comparison of int8 with float32; None if it decided nothing.
    """

    precision: Precision
    reason: str
    other_precisions: tuple[Precision, ...]
    int8: Literal["faster", "slower", "unsure"] | None


@dataclass(frozen=True, kw_only=True)
class ShippedEvaluationResult(StageResult):
    """Quality of the shipped file on the target's runtime.

    Attributes:
        accuracy: Value of the metric; None if it is not defined.
        samples: Number of samples.
        golden: File of golden samples and their outputs; None if a sample is not a single array.
        evaluation: File with the result of each sample or batch; None for a custom metric.
    """

    accuracy: float | None
    samples: int
    golden: ResultFile | None
    evaluation: ResultFile | None


@dataclass(frozen=True, kw_only=True)
class BundleResult(StageResult):
    """Written bundle.

    Attributes:
        manifest: SHA-256 of the manifest.
        archive: SHA-256 of the archive.
    """

    manifest: str
    archive: str
