"""Parts of a manifest about budgets: results of limits, and limits on measurements."""

from __future__ import annotations

from edgeprune.bundle.schema_base import Figure, ManifestPart
from edgeprune.evidence import Evidence


class BudgetReport(ManifestPart):
    """One limit of the budget and the value that is compared with it.

    Attributes:
        name: Name of the limited quantity, such as ``macs``, ``latency_ms.p95`` or ``accuracy``.
        limit: Limit as an absolute value: a minimum for accuracy, a maximum for every other quantity.
        value: Actual value; None if it is not known.
        margin: Distance from the value to the limit, in the unit of the value; negative if the limit is missed.
        kind: Provenance of the value.
        ok: Whether the value meets the limit and has the required provenance.
        note: Remark, such as the reason for a missing value; empty if there is none.
    """

    name: str
    limit: Figure
    value: Figure | None
    margin: Figure | None = None
    kind: Evidence = "exact"
    ok: bool
    note: str = ""


class ConstraintReport(ManifestPart):
    """A limit on a measured quantity; ``measured.json`` contains its result, which each new profile replaces.

    Attributes:
        name: Name of the limited quantity, such as ``latency_ms.p95``.
        limit: Limit as written in the recipe: a fraction of the dense network's value, an amount, or text with a unit.
        require: Weakest provenance that is accepted.
    """

    name: str
    limit: float | str
    require: Evidence = "estimated"
