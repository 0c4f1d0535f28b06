"""Selection of the deployed precision from measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from edgeprune.config.target import Precision
from edgeprune.errors import BudgetError
from edgeprune.export.parity import ROUNDING

Demand = Literal["auto", "float32", "float16", "int8"]
Speed = Literal["faster", "slower", "unsure"]
"""Result of the speed comparison of int8 with float32."""


@dataclass(frozen=True)
class PrecisionCandidate:
    """Model file that could be deployed.

    Attributes:
        accuracy: Top-1 accuracy on the runtime, 0..1.
        file_bytes: Size of the file in bytes.
        latency_ms: Median latency in milliseconds; None if it was not measured.
    """

    accuracy: float
    file_bytes: int
    latency_ms: float | None = None


@dataclass(frozen=True)
class LatencyRatio:
    """Ratio of the median latencies of int8 and float32, measured interleaved.

    Attributes:
        value: Ratio. Below 1, int8 is faster.
        low: Lower end of its confidence interval.
        high: Upper end of its confidence interval.
        where: Name of the device.
        kind: Provenance: ``measured`` on the device, ``emulated`` or ``estimated``.
    """

    value: float
    low: float
    high: float
    where: str
    kind: Literal["measured", "emulated", "estimated"] = "measured"

    @property
    def speed(self) -> Speed:
        """``faster`` or ``slower`` if the whole interval is on that side of 1, else ``unsure``."""
        return "faster" if self.high < 1 else "slower" if self.low > 1 else "unsure"


@dataclass(frozen=True)
class PrecisionInputs:
    """Inputs of the selection of a precision.

    Attributes:
        float32: The float file.
        int8: The quantized file; None if it could not be written.
        ratio: Latency ratio; None if latency was not measured.
        why_no_int8: Reason why ``int8`` is None.
        locked: Speed comparison of an earlier build from the lock file, which overrides ``ratio``.
    """

    float32: PrecisionCandidate
    int8: PrecisionCandidate | None
    ratio: LatencyRatio | None = None
    why_no_int8: str = "it was not made"
    locked: Speed | None = None

    @property
    def speed(self) -> Speed | None:
        """Measured speed comparison on the target; None if it was not measured there."""
        if self.ratio is None or self.ratio.kind != "measured":
            return None
        return self.locked or self.ratio.speed


@dataclass(frozen=True)
class PrecisionDecision:
    """Selected precision.

    Attributes:
        precision: Deployed precision; the lowest if several are deployed.
        reason: Readable reason. It contains no latencies, so that it is reproducible.
        evidence: Readable measurements.
        other_precisions: Other deployed precisions, for a board that selects the fastest by measurement.
    """

    precision: Precision
    reason: str
    evidence: str = ""
    other_precisions: tuple[Precision, ...] = ()


def decide(demand: Demand, inputs: PrecisionInputs, *, accuracy_drop: float) -> PrecisionDecision:
    """Select a precision.

    ``auto`` selects int8 if it is significantly faster (the whole confidence interval is below 1) and its accuracy drop
    is allowed. ``int8`` selects int8 regardless of its latency.

    Args:
        demand: Precision in the recipe.
        inputs: Measurements.
        accuracy_drop: Largest allowed drop of top-1 accuracy of int8 against float32, 0..1.

    Raises:
        BudgetError: int8 is required, but could not be written or loses more accuracy than allowed.
    """
    if demand == "float32":
        return PrecisionDecision("float32", "float32 is required")
    if inputs.int8 is None:
        if demand == "int8":
            raise BudgetError(f"quantize.precision: int8 is required, but cannot be written: {inputs.why_no_int8}")
        return PrecisionDecision("float32", f"there is no int8 file: {inputs.why_no_int8}")
    drop = inputs.float32.accuracy - inputs.int8.accuracy
    accuracies = f"{inputs.int8.accuracy:.2%} instead of {inputs.float32.accuracy:.2%}"
    if drop > accuracy_drop + ROUNDING:
        loss_text = f"int8 loses {_points(drop)} ({accuracies}), allowed are {_points(accuracy_drop)}"
        if demand == "int8":
            raise BudgetError(
                f"quantize.precision: int8 is required, but {loss_text}: try another calibration, equalization or more "
                "nodes in float, allow a larger drop, or set 'auto' if the target supports other precisions",
                {"accuracy_drop": drop},
            )
        return PrecisionDecision("float32", loss_text)
    accuracy_text = f"it keeps the accuracy ({accuracies}; a drop of {_points(accuracy_drop)} is allowed)"
    if demand == "int8":
        return PrecisionDecision("int8", f"int8 is required, and {accuracy_text}; {_speed(inputs)}", _figures(inputs))
    if inputs.speed != "faster":
        return PrecisionDecision(
            "float32", f"int8 keeps the accuracy ({accuracies}), but {_speed(inputs)}", _figures(inputs)
        )
    size_text = f"{inputs.int8.file_bytes:,} bytes instead of {inputs.float32.file_bytes:,}"
    return PrecisionDecision("int8", f"{_speed(inputs)}, and {accuracy_text}; {size_text}", _figures(inputs))


def decide_for_board(
    demand: Demand,
    candidates: Mapping[Precision, PrecisionCandidate],
    problems: Mapping[str, str],
    *,
    accuracy_drop: float,
) -> PrecisionDecision:
    """Select the precisions for a board that builds engines and measures them.

    Args:
        demand: Precision in the recipe.
        candidates: Written files, the most precise first, including float32.
        problems: Reasons why other precisions could not be written.
        accuracy_drop: Largest allowed drop of top-1 accuracy against float32, 0..1.

    Raises:
        BudgetError: The demanded precision could not be written, or loses more accuracy than allowed.
    """
    baseline = candidates["float32"].accuracy
    remarks = {name: f"there is none: {problem}" for name, problem in problems.items()}
    accepted: list[Precision] = []
    for name, candidate in candidates.items():
        drop = baseline - candidate.accuracy
        remarks[name] = f"{candidate.accuracy:.2%}"
        if drop > accuracy_drop + ROUNDING:
            remarks[name] += f", which loses {_points(drop)} and is excluded: allowed are {_points(accuracy_drop)}"
        else:
            accepted.append(name)
    if demand not in ("auto", *accepted):
        raise BudgetError(
            f"quantize.precision: {demand} is required, but not available: {remarks.get(demand, 'it was not written')}"
        )
    summary = "; ".join(f"{name}: {remark}" for name, remark in remarks.items())
    if demand != "auto":
        return PrecisionDecision(demand, f"{demand} is required ({summary})")
    *other_precisions, lowest = accepted
    reason = (
        f"the device measures all precisions of the bundle and runs the fastest; the build did not measure ({summary})"
    )
    return PrecisionDecision(lowest, reason, other_precisions=tuple(other_precisions))


def _speed(inputs: PrecisionInputs) -> str:
    """Describe the speed comparison of int8 with float32."""
    ratio = inputs.ratio
    if ratio is None:
        return "its latency was not measured"
    if ratio.kind != "measured":
        return f"its latency on {ratio.where} is {ratio.kind}, not measured"
    comparison = {"faster": "is faster", "slower": "is slower", "unsure": "is not significantly faster"}[
        inputs.locked or ratio.speed
    ]
    return f"int8 {comparison} on {ratio.where}"


def _figures(inputs: PrecisionInputs) -> str:
    ratio = inputs.ratio
    if ratio is None:
        return ""
    medians = (
        f", {inputs.int8.latency_ms:.3g} ms after {inputs.float32.latency_ms:.3g} ms"
        if inputs.int8 and inputs.int8.latency_ms is not None and inputs.float32.latency_ms is not None
        else ""
    )
    interval = f"{ratio.low:.2f} to {ratio.high:.2f}"
    return f"{ratio.value:.2f}x ({interval}) the latency of float32{medians}"


def _points(fraction: float) -> str:
    return f"{100 * fraction:.2f} points"
