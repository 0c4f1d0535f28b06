"""Results of the stages that measure, choose and pack what ships."""

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
    """Footprints of a target whose memory is known without a device.

    Attributes:
        dense: Of the dense network.
        shipped: Of the pruned network.
        agreement: Outputs of the target's kernels beside those of this machine; None for a file that is not quantized.
    """

    dense: Footprint
    shipped: Footprint
    agreement: AgreementReport | None


@dataclass(frozen=True, kw_only=True)
class ProfileResult(StageResult):
    """Latency and memory.

    Attributes:
        profile: The profile.
        footprints: RAM and flash without a device; None where only a device can measure them.
    """

    profile: ResultFile
    footprints: FootprintsResult | None


@dataclass(frozen=True, kw_only=True)
class ChoiceResult(StageResult):
    """The precision that ships.

    Attributes:
        precision: The precision.
        reason: Why, for people.
        along: Other precisions that ship with it, for a board that measures which is the fastest.
        int8: Whether int8 is faster than float32 by the measurement; None if that decided nothing.
    """

    precision: Precision
    reason: str
    along: tuple[Precision, ...]
    int8: Literal["faster", "slower", "unsure"] | None


@dataclass(frozen=True, kw_only=True)
class ShippedEvaluationResult(StageResult):
    """Quality of the shipped file on the target's runtime.

    Attributes:
        accuracy: Value of the metric; None where it is not defined.
        samples: Number of samples.
        golden: Golden samples with their outputs; None if a sample is not one array.
        evaluation: Result of every sample or batch; None for a metric of the user's own.
    """

    accuracy: float | None
    samples: int
    golden: ResultFile | None
    evaluation: ResultFile | None


@dataclass(frozen=True, kw_only=True)
class BundleResult(StageResult):
    """The bundle.

    Attributes:
        manifest: SHA-256 of its manifest.
        archive: SHA-256 of its archive.
    """

    manifest: str
    archive: str
