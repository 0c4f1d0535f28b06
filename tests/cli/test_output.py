"""Tables at any width: no figure is cut or broken over lines."""

from __future__ import annotations

import pytest

from edgeprune.cli.output import print_rich, print_table
from edgeprune.report import table, verdicts
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
    made, measured = manifest(), profile()
    print_rich(table.render(made, measured))
    print_rich(verdicts.render(made.budgets))
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= width
    assert "…" not in printed
    for row in table.rows(made, measured):
        assert row.change in printed
        assert all(text in printed for text in row.shown)
