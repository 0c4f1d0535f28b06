"""The sections of a report, one file each or one small family, in the order a reader meets them; None is left out."""

from __future__ import annotations

from collections.abc import Callable

from edgeprune.report.parts import Section, Source
from edgeprune.report.sections import (
    asked,
    board,
    candidates,
    forms,
    importance,
    latency,
    layers,
    memory,
    origin,
    rounds,
    sensitivity,
    waterfall,
)

SECTIONS: tuple[Callable[[Source], Section | None], ...] = (
    asked.section,
    candidates.section,
    waterfall.section,
    layers.section,
    rounds.section,
    board.section,
    latency.section,
    memory.section,
    importance.section,
    sensitivity.section,
    importance.frozen,
    forms.parity,
    forms.precision,
    origin.section,
)
