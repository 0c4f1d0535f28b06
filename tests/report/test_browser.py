"""The page in a real browser: it is whole, quiet, loads nothing, and fits every width, by day and by night."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from edgeprune.report import report_page
from edgeprune.report.sections import SECTIONS
from tests.report import browser
from tests.report.browser import Browser
from tests.report.samples import facts, manifest, profile

pytestmark = pytest.mark.long

_LONG = "features.very_long_block_name_without_any_break." * 3
_HOSTILE = (
    "</title></style><script>document.title='x'; console.log('ran')</script><img src=x onerror=console.log('ran')>"
)

# What reaches over the right edge, other than inside what scrolls by itself; and what is cut off inside its own box.
_OVERFLOW = """
(() => {
  const wide = [...document.body.querySelectorAll('*')].filter(e => !e.closest('.scroll, svg') &&
    e.getBoundingClientRect().right > innerWidth + 0.5);
  return [document.documentElement.scrollWidth - innerWidth, wide.map(e => e.outerHTML.slice(0, 90))];
})()
"""

# Contrast of text with what is behind it (WCAG 2.2, 1.4.3), of everything that holds text itself.
_FAINT = """
(() => {
  const parse = c => c.match(/[\\d.]+/g).map(Number);
  const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = c => parse(c).slice(0, 3).map(v => linear(v / 255))
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = e => { for (; e; e = e.parentElement) {
    const c = getComputedStyle(e).backgroundColor;
    if ((parse(c)[3] ?? 1) === 1) return c;
  } };
  const faint = [];
  for (const e of document.body.querySelectorAll('*')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || e.closest('svg')) continue;
    const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
    if ((a + .05) / (b + .05) < 4.5) faint.push([e.outerHTML.slice(0, 90), (a + .05) / (b + .05)]);
  }
  return faint;
})()
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = browser.find()
    if program is None:
        pytest.skip("no chromium here: scripts/system installs it")
    with browser.started(program) as opened:
        yield opened


@pytest.fixture(scope="module", params=["plain", "long names", "hostile names"])
def opened(request: pytest.FixtureRequest, chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Browser:
    name = {"plain": "net", "long names": _LONG, "hostile names": _HOSTILE}[request.param]
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(report_page.render(manifest(name), facts(name, layers=24), profile(name)), encoding="utf-8")
    chromium.open(file)
    return chromium


def test_every_section_is_seen_and_the_page_is_quiet(opened: Browser) -> None:
    calls = opened.evaluate(
        "[...document.querySelectorAll('section')].map(s => [s.id, s.getBoundingClientRect().height])"
    )
    assert len(calls) == len(SECTIONS) - 2  # the samples are not for a microcontroller and compare no candidates
    assert all(height > 60 for _, height in calls), calls
    assert opened.evaluate("document.scripts.length") == 0
    assert opened.evaluate("document.title") != "x"
    assert opened.console == []
    assert opened.failures == []
    assert [address for address in opened.requests if not address.startswith("data:")] == [opened.requests[0]]
    assert opened.requests[0].startswith("file:")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 800, 1280])
def test_it_fits_the_screen_and_can_be_read(opened: Browser, width: int, scheme: str) -> None:
    opened.look(width, scheme=scheme)
    assert opened.evaluate("innerWidth") == width
    over, wide = opened.evaluate(_OVERFLOW)
    assert over <= 0, wide
    assert wide == []
    assert opened.evaluate(_FAINT) == []
    dark = opened.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).every(v => v < 60)")
    assert dark == (scheme == "dark")


def test_a_wide_table_scrolls_by_itself_and_the_keyboard_reaches_it(opened: Browser) -> None:
    opened.look(360)
    scrolls = opened.evaluate(
        "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth).map(e => e.tabIndex)"
    )
    assert scrolls
    assert set(scrolls) == {0}


def test_charts_and_tables_have_names(opened: Browser) -> None:
    unnamed = opened.evaluate(
        "[...document.querySelectorAll('svg')].filter(s => !s.querySelector('title')?.textContent "
        "|| !s.querySelector('desc')?.textContent || s.getAttribute('role') !== 'img').length"
    )
    assert unnamed == 0
    assert opened.evaluate("[...document.querySelectorAll('table')].filter(t => !t.caption?.textContent).length") == 0
    levels = opened.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_printed_page_is_light_and_unfolds_details(opened: Browser, tmp_path: Path) -> None:
    opened.look(794, scheme="dark", media="print")
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert opened.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    folded = opened.evaluate(
        "[...document.querySelectorAll('details:not([open]) table')].map(t => t.getBoundingClientRect().height)"
    )
    assert folded
    assert all(height > 20 for height in folded)
    assert opened.pdf().startswith(b"%PDF-")
    opened.look(1280)
