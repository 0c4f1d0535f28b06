"""Sections on the errors of the exported precisions, and on the selected one."""

from __future__ import annotations

from collections.abc import Mapping

from edgeprune.bundle.report_data import PrecisionVariant
from edgeprune.report import quantity_text
from edgeprune.report.components import Column, ReportSource, Section, kind, paragraph, table
from edgeprune.report.markup import Content, element


def parity(source: ReportSource) -> Section:
    """Return the section with the errors of each precision and the result of the equivalence check."""
    columns = (
        Column("precision", False),
        Column("same class"),
        Column("largest error"),
        Column("relative"),
        Column("samples"),
        Column("provenance", False),
    )
    variants = source.data.variants
    rows = [
        _row(name, variant, ships=name == source.shipped)
        for name, variant in variants.items()
        if variant.problem is None
    ]
    errors = table("Outputs of each file on its runtime, compared with PyTorch", columns, rows)
    missing = [
        paragraph(f"No {name}: {variant.problem}") for name, variant in variants.items() if variant.problem is not None
    ]
    return Section("parity", "Parity and equivalence", [_equivalence(source), errors, _outputs(variants), missing])


def _outputs(variants: Mapping[str, PrecisionVariant]) -> Content:
    """Return a table of all outputs with the channel that differs most; None without outputs."""
    columns = (
        Column("precision", False),
        Column("output"),
        Column("relative"),
        Column("of its channel"),
        Column("channel"),
        Column("result", False),
    )
    rows: list[list[Content]] = [
        [
            name,
            str(output.index),
            f"{output.relative_error:.2e}",
            f"{output.channel_error:.2e}",
            f"{output.channel} (dimension {output.dimension})" if output.dimension else "–",
            "ok" if output.ok else element("strong", "over the limit"),
        ]
        for name, variant in variants.items()
        for output in variant.outputs
    ]
    title = "Each output: largest error over its largest value, and over that of the channel that differs most"
    return table(title, columns, rows) if rows else None


def precision(source: ReportSource) -> Section:
    """Return the section with the shipped precision and the reason for it."""
    report = source.manifest.precision
    title = "Precision"
    if report is None:
        return Section("precision", title, paragraph("float32 is the only precision of this target."))
    decision = paragraph(element("strong", f"{report.shipped} is shipped: "), report.reason, ".")
    other_precisions = (
        paragraph(f"Other precisions in the bundle: {', '.join(report.other_precisions)}.")
        if report.other_precisions
        else None
    )
    nodes = (
        paragraph(f"Nodes that are computed in float: {', '.join(report.float_nodes)}.") if report.float_nodes else None
    )
    columns = (Column("precision", False), Column("accuracy"), Column("file"), Column("provenance", False))
    rows: list[list[Content]] = [
        [
            name + ("\N{NO-BREAK SPACE}(shipped)" if name == report.shipped else ""),
            "–" if candidate.accuracy is None else quantity_text.percent(candidate.accuracy),
            quantity_text.size(candidate.file_bytes),
            kind("measured"),
        ]
        for name, candidate in report.candidates.items()
    ]
    candidates = table("Compared precisions; accuracy on validation samples", columns, rows)
    return Section("precision", title, [decision, other_precisions, nodes, candidates])


def _row(name: str, variant: PrecisionVariant, *, ships: bool) -> list[Content]:
    return [
        name + ("\N{NO-BREAK SPACE}(shipped)" if ships else ""),
        "–" if variant.top1_agreement is None else quantity_text.percent(variant.top1_agreement),
        *("–" if error is None else f"{error:.2e}" for error in (variant.max_error, variant.relative_error)),
        "–" if variant.samples is None else f"{variant.samples:,}",
        kind("measured"),
    ]


def _equivalence(source: ReportSource) -> Content:
    equivalence = source.manifest.equivalence
    if equivalence is None or not equivalence.verified:
        return paragraph("The recipe disables the equivalence check of the pruned network (prune.verify = false).")
    against = "with zeros in place of" if equivalence.exact else "without"
    error = (
        ""
        if equivalence.max_error is None
        else f"; they differ by at most {equivalence.max_error:.2e} of the largest output"
    )
    return paragraph(
        f"Verified: the pruned network computes the same as the dense one {against} the removed units{error}. ",
        kind("measured"),
    )
