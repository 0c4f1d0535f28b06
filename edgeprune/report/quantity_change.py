"""Change of one quantity between two bundles, with its confidence interval and the decision by its limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from edgeprune.evidence import Evidence
from edgeprune.report.regression_limits import ACCURACY, RegressionLimit

Decision = Literal["passed", "failed", "undecided"]
_ROUNDING = 1e-9


def _unknown(_limit: float) -> int | None:
    return None


@dataclass(frozen=True)
class QuantityChange:
    """Change of one quantity.

    Attributes:
        key: Name of the quantity, such as ``macs``, ``file_bytes``, ``accuracy`` or ``latency_ms.p50``.
        base: Value of the base; None if it is not known.
        new: New value; None if it is not known.
        kind: Provenance of both values.
        worse: Degradation, below 0 for an improvement: a fraction of ``base``, or a difference for accuracy. None if
            the values cannot be compared.
        low: Lower end of the 95 % interval of ``worse``; equal to it for quantities without noise.
        high: Upper end of the 95 % interval of ``worse``.
        note: Displayed remark.
        rule: Limit of ``worse``; None if any value is allowed.
        repeats: Kind of data that would narrow the interval, ``samples`` or ``blocks``; empty if there is none.
        repeats_needed: Function that returns the number of ``repeats`` at which the interval would lie on one side of a
            limit, at the observed rates and spreads; None if no number does.
    """

    key: str
    base: float | None
    new: float | None
    kind: Evidence = "exact"
    worse: float | None = None
    low: float = 0.0
    high: float = 0.0
    note: str = ""
    rule: RegressionLimit | None = None
    repeats: Literal["samples", "blocks", ""] = ""
    repeats_needed: Callable[[float], int | None] = field(default=_unknown, compare=False, repr=False)

    @property
    def direction(self) -> str:
        """``worse`` or ``better`` if the change is significant, else ``noise``, ``same`` or ``not compared``."""
        if self.worse is None:
            return "not compared"
        if self.low > 0:
            return "worse"
        if self.high < 0:
            return "better"
        return "noise" if self.worse else "same"

    @property
    def decision(self) -> Decision | None:
        """Decision by the limit; None without a limit, or if the values cannot be compared.

        ``passed``: the whole 95 % interval is within the limit. ``failed``: the whole interval is beyond it.
        ``undecided``: the limit lies inside the interval. A default limit is never undecided: it fails if the change is
        significant and its value is beyond the limit.
        """
        if self.rule is None or self.worse is None:
            return None
        low, high, limit = self._bounds(self.rule)
        if self.rule.is_default:
            return "failed" if self.low > 0 and self.worse > limit else "passed"
        if low > limit:
            return "failed"
        return "passed" if high <= limit else "undecided"

    @property
    def failed(self) -> bool:
        return self.decision == "failed"

    @property
    def needed(self) -> int | None:
        """Number of ``repeats`` that would decide an undecided change; None if no number does, or if it is decided."""
        if self.decision != "undecided" or self.rule is None:
            return None
        limit = self.rule.limit
        if self.rule.absolute and self.key != ACCURACY:
            limit = limit / self.base if self.base else 0.0
        return self.repeats_needed(limit)

    def _bounds(self, rule: RegressionLimit) -> tuple[float, float, float]:
        """Return both ends of the interval and the limit in the same unit, with a rounding tolerance on the limit."""
        low, high, limit = self.low, self.high, rule.limit + _ROUNDING * max(rule.limit, 1e-3)
        if not rule.absolute or self.key == ACCURACY:
            return low, high, limit
        assert self.base is not None
        assert self.new is not None
        if low == high:
            return self.new - self.base, self.new - self.base, limit
        return low * self.base, high * self.base, limit
