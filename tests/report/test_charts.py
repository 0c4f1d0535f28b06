"""Axes and charts."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgeprune.report.charts import ChartAxis, ChartLabel, bars, dots, line, numbers, plot, stairs, ticks

_NUMBERS = st.floats(-1e9, 1e9, allow_nan=False)


@given(low=_NUMBERS, span=st.floats(1e-3, 1e9), value=_NUMBERS)
@example(low=-155692566.0, span=21474837.316563535, value=0.0)
def test_every_value_is_on_the_plot(low: float, span: float, value: float) -> None:
    axis = ChartAxis(low, low + span)
    assert 0 <= axis.at(value) <= 100
    assert axis.at(axis.low) == 0
    assert axis.at(axis.high) == pytest.approx(100)


@given(low=_NUMBERS, span=st.floats(1e-2, 1e9))
def test_ticks_are_few_round_and_within(low: float, span: float) -> None:
    axis = ChartAxis(low, low + span)
    result = axis.ticks()
    slack = 1e-6 * max(abs(low), span)
    assert 1 <= len(result) <= 6
    assert result == sorted(result)
    assert all(axis.low - slack <= tick <= axis.high + slack for tick in result)


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        (ChartAxis(0, 1.05), [0, 0.5, 1]),
        (ChartAxis(0.985, 0.9972), [0.985, 0.99, 0.995]),
        (ChartAxis(0, 3, whole=True), [0, 1, 2, 3]),
        (ChartAxis(0.5, 8.5, whole=True), [2, 4, 6, 8]),
        (ChartAxis(0.3, 4, logarithmic=True), [0.5, 1, 2]),
        (ChartAxis(1e-6, 1e6, logarithmic=True), [1e-6, 1e-3, 1, 1e3, 1e6]),
        (ChartAxis(2, 2), [2]),
    ],
)
def test_ticks(axis: ChartAxis, expected: list[float]) -> None:
    assert axis.ticks() == pytest.approx(expected)


def test_equal_ratios_are_equal_distances_on_a_logarithmic_axis() -> None:
    axis = ChartAxis(1, 100, logarithmic=True)
    assert [axis.at(value) for value in (1, 10, 100)] == pytest.approx([0, 50, 100])
    assert axis.at(0) == 0
    assert ChartAxis(3, 3, logarithmic=True).at(3) == 50


def test_stairs_and_bars_are_around_their_number() -> None:
    x, y = numbers(2, "n"), ChartAxis(0, 4)
    assert stairs([4, 1], x, y) == [(0, 0), (50, 0), (50, 75), (100, 75)]
    assert 'd="M6.25 100V0H43.75V100ZM56.25 100V75H93.75V100Z"' in bars([4, 1], x, y, "look")


def test_marks_are_short_and_drawn_once() -> None:
    assert 'd="M0 0L33.33 100"' in line([(0, 0), (100 / 3, 100)], "look")
    assert 'd="M1 2h0M3 4h0"' in dots([(1, 2), (3, 4)], "look")
    assert 'd="M1 0V9M2 0V9"' in ticks([1.0, 1.04, 2.0, 1.0], 0, 9, "look")


def test_chart_has_title_and_description() -> None:
    page = plot(
        "A < B",
        "rises & falls",
        None,
        x=ChartAxis(0, 2, "epoch", "{:g}".format),
        y=ChartAxis(0, 1),
        labels=[ChartLabel((90, 10), "right"), ChartLabel((10, 10), "left"), ChartLabel((50, 50), "amid", below=True)],
    )
    assert "<title>A &lt; B</title><desc>rises &amp; falls</desc>" in page
    assert 'role="img"' in page
    assert len(re.findall(r'class="tick x"', page)) == 5
    assert 'class="tick y"' not in page
    assert 'style="right:10%;top:10%"' in page
    assert 'class="label after above" style="left:10%' in page
    assert 'class="label amid below"' in page
