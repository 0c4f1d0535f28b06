"""Sections of the report in their order on the page; a function that returns None omits its section."""

from __future__ import annotations

from collections.abc import Callable

from edgeprune.report.components import ReportSource, Section
from edgeprune.report.sections import (
    board_section,
    candidates_section,
    importance_section,
    latency_section,
    layers_section,
    memory_section,
    precision_section,
    provenance_section,
    sensitivity_section,
    summary_section,
    training_section,
    waterfall_section,
)

SECTIONS: tuple[Callable[[ReportSource], Section | None], ...] = (
    summary_section.section,
    candidates_section.section,
    waterfall_section.section,
    layers_section.section,
    training_section.section,
    board_section.section,
    latency_section.section,
    memory_section.section,
    importance_section.section,
    sensitivity_section.section,
    importance_section.frozen,
    precision_section.parity,
    precision_section.precision,
    provenance_section.section,
)
