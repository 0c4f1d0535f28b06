"""Which precision ships: decided by what was measured, never assumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from edgeprune.config.target import Precision
from edgeprune.errors import BudgetError
from edgeprune.export.parity import ROUNDING

Demand = Literal["auto", "float32", "float16", "int8"]
Speed = Literal["faster", "slower", "unsure"]
"""Whether int8 is faster than float32."""


@dataclass(frozen=True)
class PrecisionCandidate:
    """One file that could ship.

    Attributes:
        accuracy: Top-1 share on the runtime, 0..1.
        file_bytes: Its size.
        latency_ms: Median; None where it was not measured.
    """

    accuracy: float
    file_bytes: int
    latency_ms: float | None = None


@dataclass(frozen=True)
class LatencyRatio:
    """Median latency of int8 over that of float32, the two measured in turn.

    Attributes:
        value: Below 1, int8 is faster.
        low: Lower end of its confidence interval.
        high: Upper end.
        where: The device.
        kind: Whether it was ``measured`` there, or ``emulated`` or ``estimated``.
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
    """Inputs of a decision.

    Attributes:
        float32: The float file.
        int8: The quantized file; None where none could be made, for the reason ``why_no_int8``.
        ratio: None where latency was not measured.
        why_no_int8: See ``int8``.
        locked: What an earlier build measured, which counts instead of ``ratio``.
    """

    float32: PrecisionCandidate
    int8: PrecisionCandidate | None
    ratio: LatencyRatio | None = None
    why_no_int8: str = "it was not made"
    locked: Speed | None = None

    @property
    def speed(self) -> Speed | None:
        """Whether int8 is faster on the target, as it was measured; None where it was not."""
        if self.ratio is None or self.ratio.kind != "measured":
            return None
        return self.locked or self.ratio.speed


@dataclass(frozen=True)
class PrecisionDecision:
    """A choice.

    Attributes:
        precision: What ships; the lowest, where others ship along.
        reason: Why, for people to read; the same whenever the same was found, to whatever tenth of a millisecond.
        evidence: What was measured.
        along: Other precisions that ship with it, for a board that measures which is the fastest.
    """

    precision: Precision
    reason: str
    evidence: str = ""
    along: tuple[Precision, ...] = ()


def decide(demand: Demand, facts: PrecisionInputs, *, accuracy_drop: float) -> PrecisionDecision:
    """Choose a precision.

    ``auto`` ships int8 only if it was measured to be faster, with the whole confidence interval below 1, and loses no
    more accuracy than allowed. ``int8`` ships it whether faster or not.

    Args:
        demand: Of the recipe.
        facts: What was measured.
        accuracy_drop: Top-1 share that int8 may lose against float32, 0..1.

    Raises:
        BudgetError: int8 is demanded, but was not made or loses more than allowed.
    """
    if demand == "float32":
        return PrecisionDecision("float32", "float32 is demanded")
    if facts.int8 is None:
        if demand == "int8":
            raise BudgetError(f"int8 is demanded, but there is none: {facts.why_no_int8}")
        return PrecisionDecision("float32", f"there is no int8 file: {facts.why_no_int8}")
    drop = facts.float32.accuracy - facts.int8.accuracy
    accuracies = f"{facts.int8.accuracy:.2%} instead of {facts.float32.accuracy:.2%}"
    if drop > accuracy_drop + ROUNDING:
        lost = f"int8 loses {_points(drop)} ({accuracies}), and {_points(accuracy_drop)} are allowed"
        if demand == "int8":
            raise BudgetError(
                f"int8 is demanded, but {lost}: try another calibration, equalization or more nodes in float, "
                "allow a larger drop, or set the precision to auto where the target runs others",
                {"accuracy_drop": drop},
            )
        return PrecisionDecision("float32", lost)
    kept = f"it keeps the accuracy ({accuracies}; a drop of {_points(accuracy_drop)} is allowed)"
    if demand == "int8":
        return PrecisionDecision("int8", f"int8 is demanded, and {kept}; {_speed(facts)}", _figures(facts))
    if facts.speed != "faster":
        return PrecisionDecision(
            "float32", f"int8 keeps the accuracy ({accuracies}), but {_speed(facts)}", _figures(facts)
        )
    smaller = f"{facts.int8.file_bytes:,} bytes instead of {facts.float32.file_bytes:,}"
    return PrecisionDecision("int8", f"{_speed(facts)}, and {kept}; {smaller}", _figures(facts))


def decide_for_board(
    demand: Demand,
    candidates: Mapping[Precision, PrecisionCandidate],
    problems: Mapping[str, str],
    *,
    accuracy_drop: float,
) -> PrecisionDecision:
    """Choose what a board is given that builds and measures for itself.

    Args:
        demand: Of the recipe.
        candidates: What was made, the plainest first; float32 is among them.
        problems: Why others were not.
        accuracy_drop: Top-1 share that a precision may lose against float32, 0..1.

    Raises:
        BudgetError: What is demanded was not made, or loses more than allowed.
    """
    whole = candidates["float32"].accuracy
    remarks = {name: f"there is none: {problem}" for name, problem in problems.items()}
    kept: list[Precision] = []
    for name, candidate in candidates.items():
        drop = whole - candidate.accuracy
        remarks[name] = f"{candidate.accuracy:.2%}"
        if drop > accuracy_drop + ROUNDING:
            remarks[name] += f", which loses {_points(drop)} and is left out: {_points(accuracy_drop)} are allowed"
        else:
            kept.append(name)
    if demand not in ("auto", *kept):
        raise BudgetError(f"{demand} is demanded, but {remarks.get(demand, 'it was not made')}")
    found = "; ".join(f"{name}: {remark}" for name, remark in remarks.items())
    if demand != "auto":
        return PrecisionDecision(demand, f"{demand} is demanded ({found})")
    *along, lowest = kept
    reason = f"the board measures all that ships and keeps the fastest, which was not measured here ({found})"
    return PrecisionDecision(lowest, reason, along=tuple(along))


def _speed(facts: PrecisionInputs) -> str:
    """Whether int8 is faster, as far as known."""
    ratio = facts.ratio
    if ratio is None:
        return "its latency was not measured"
    if ratio.kind != "measured":
        return f"its latency on {ratio.where} is {ratio.kind}, not measured"
    verdict = {"faster": "is faster", "slower": "is slower", "unsure": "is not significantly faster"}[
        facts.locked or ratio.speed
    ]
    return f"int8 {verdict} on {ratio.where}"


def _figures(facts: PrecisionInputs) -> str:
    ratio = facts.ratio
    if ratio is None:
        return ""
    medians = (
        f", {facts.int8.latency_ms:.3g} ms after {facts.float32.latency_ms:.3g} ms"
        if facts.int8 and facts.int8.latency_ms is not None and facts.float32.latency_ms is not None
        else ""
    )
    interval = f"{ratio.low:.2f} to {ratio.high:.2f}"
    return f"{ratio.value:.2f}x ({interval}) the latency of float32{medians}"


def _points(share: float) -> str:
    return f"{100 * share:.2f} points"
