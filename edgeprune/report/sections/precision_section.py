"""Section on the exported precisions: their errors, and the one that is shipped."""

from __future__ import annotations

from collections.abc import Mapping

from edgeprune.bundle.report_data import PrecisionVariant
from edgeprune.report import quantity_text
from edgeprune.report.components import Column, ReportSource, Section, kind, paragraph, table
from edgeprune.report.markup import Content, element


def parity(source: ReportSource) -> Section:
    """Errors of every form against PyTorch, and the result of the equivalence check."""
    columns = (
        Column("form", False),
        Column("same class"),
        Column("largest error"),
        Column("relative"),
        Column("samples"),
        Column("from", False),
    )
    forms = source.facts.forms
    rows = [_row(name, form, ships=name == source.shipped) for name, form in forms.items() if form.problem is None]
    held = table("Outputs of each file on its runtime, against PyTorch", columns, rows)
    missing = [paragraph(f"No {name}: {form.problem}") for name, form in forms.items() if form.problem is not None]
    return Section("parity", "Parity and equivalence", [_equivalence(source), held, _outputs(forms), missing])


def _outputs(forms: Mapping[str, PrecisionVariant]) -> Content:
    """Every output by itself, with the channel that differs most."""
    columns = (
        Column("form", False),
        Column("output"),
        Column("relative"),
        Column("of its channel"),
        Column("channel"),
        Column("verdict", False),
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
        for name, form in forms.items()
        for output in form.outputs
    ]
    title = "Each output: largest error over its largest value, and over that of the channel that differs most"
    return table(title, columns, rows) if rows else None


def precision(source: ReportSource) -> Section:
    """The shipped precision, and the reason for it."""
    report = source.manifest.precision
    title = "Precision"
    if report is None:
        return Section("precision", title, paragraph("float32 ships: there was no choice."))
    decision = paragraph(element("strong", f"{report.shipped} ships: "), report.reason, ".")
    along = paragraph(f"With it: {', '.join(report.along)}.") if report.along else None
    nodes = paragraph(f"Nodes that stay in float: {', '.join(report.float_nodes)}.") if report.float_nodes else None
    columns = (Column("form", False), Column("accuracy"), Column("file"), Column("from", False))
    rows: list[list[Content]] = [
        [
            name + ("\N{NO-BREAK SPACE}(ships)" if name == report.shipped else ""),
            "–" if found.accuracy is None else quantity_text.percent(found.accuracy),
            quantity_text.size(found.file_bytes),
            kind("measured"),
        ]
        for name, found in report.candidates.items()
    ]
    candidates = table("What there was to choose from; accuracy on validation samples", columns, rows)
    return Section("precision", title, [decision, along, nodes, candidates])


def _row(name: str, form: PrecisionVariant, *, ships: bool) -> list[Content]:
    return [
        name + ("\N{NO-BREAK SPACE}(ships)" if ships else ""),
        "–" if form.top1_agreement is None else quantity_text.percent(form.top1_agreement),
        *("–" if error is None else f"{error:.2e}" for error in (form.max_error, form.relative_error)),
        "–" if form.samples is None else f"{form.samples:,}",
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
