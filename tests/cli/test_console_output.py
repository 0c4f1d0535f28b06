"""Tables at any width: no figure is cut or broken over lines."""

from __future__ import annotations

import pytest

from edgeprune.bundle.pruning_report import PlanReport
from edgeprune.cli.console_output import print_rich, print_table, print_text
from edgeprune.report import budget_output, build_summary, build_table, candidate_table
from tests.report.samples import manifest, profile

_COLUMNS = ("group", "units", "-12.5%", "-25%", "-50%", "-75%", "MACs removed")
_ROWS = [
    ("features.stage3.block2.conv1", "1,024", "99.15 %", "98.31 %", "90.00 %", "12.34 %", "1.234% to 12.34%"),
    ("a group whose name has many words in it, one after another", "8", "1 %", "2 %", "3 %", "4 %", "0.1% to 0.2%"),
]


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_no_figure_is_cut(width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    print_table(_COLUMNS, _ROWS, right=_COLUMNS[1:])
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= width
    assert "…" not in printed
    for row in _ROWS:
        assert all(cell in printed for cell in row[1:])


@pytest.mark.parametrize("width", [60, 80])
def test_table_of_a_build_fits(width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    result, measured = manifest(), profile()
    print_rich(build_table.render(result, measured))
    print_rich(budget_output.render(result.budgets))
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= width
    assert "…" not in printed
    for row in build_table.rows(result, measured):
        assert row.change in printed
        assert all(text in printed for text in row.texts)


def test_table_that_fits_exactly_stays_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shares = ("-1/8", "-1/4", "-1/2", "-3/4", "-7/8")
    heads = ("group", "units", *shares, "MACs removed")
    monkeypatch.setenv("COLUMNS", "80")
    rows = [("residual.conv1.0", "32", *("94.1 %",) * len(shares), "9.4% to 66.0%")]
    print_table(heads, rows, right=heads[1:])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) == 80
    assert [line.split() for line in lines if "residual" in line] == [" ".join(rows[0]).split()]
    monkeypatch.setenv("COLUMNS", "79")
    print_table(heads, rows, right=heads[1:])
    assert "MACs removed: 9.4% to 66.0%" in capsys.readouterr().out


@pytest.mark.parametrize("width", [60, 80, 100])
def test_summary_of_targets_cuts_no_cell(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    result = build_summary.FinishedBuild(manifest(), profile(), manifest().budgets)
    outcomes = [
        build_summary.BuildOutcome("raspberry-pi-zero-2w", 0, None, result),
        build_summary.BuildOutcome("jetson-orin-nano", 3, "failed"),
    ]
    print_rich(build_summary.render(outcomes))
    printed = capsys.readouterr().out
    assert "\N{HORIZONTAL ELLIPSIS}" not in printed
    assert max(map(len, printed.splitlines())) <= width
    for outcome in outcomes:
        assert all(word in printed for cell in build_summary.cells(outcome) for word in cell.split())


def test_candidate_table_names_every_figure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    plan = PlanReport(
        criterion="fisher", selection="global", balance=0, align=8, macs=0.474, loss=1.072, accuracy=0.5, chosen=True
    )
    trained = plan.model_copy(update={"trained_loss": 0.5, "trained_accuracy": 0.75})
    result = manifest()
    for plans, heads in (([plan], ["loss", "accuracy"]), ([plan, trained], ["loss", "accuracy"] * 2)):
        rendered = candidate_table.render(result.model_copy(update={"candidates": plans}))
        print_rich(rendered)
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= 80
        assert [word for word in lines[0].split() if word in heads] == heads


@pytest.mark.parametrize(("columns", "longest"), [(None, 80), ("60", 60), ("120", 120)])
def test_text_is_wrapped_to_the_terminal_or_to_80_characters(
    columns: str | None, longest: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    print_text("word " * 60)
    lengths = [len(line) for line in capsys.readouterr().out.splitlines()]
    assert longest - 5 < max(lengths) <= longest
