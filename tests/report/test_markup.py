"""Text goes into a page as text, whatever it is."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprune.report.markup import Markup, element, join

_SAYS_NO_CONTROLS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff")
).filter(lambda text: not any(0xFDD0 <= ord(char) <= 0xFDEF for char in text))


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.data = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.data += data


def read(markup: str) -> _Reader:
    reader = _Reader()
    reader.feed(markup)
    reader.close()
    return reader


@pytest.mark.long
@given(text=_SAYS_NO_CONTROLS, value=_SAYS_NO_CONTROLS)
def test_text_is_escaped_for_a_browser(text: str, value: str) -> None:
    result = read(element("p", text, title=value))
    assert result.tags == [("p", {"title": value})]
    assert result.data == text


def test_script_element_is_escaped() -> None:
    assert element("p", "<script>alert(1)</script>") == "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>"
    assert element("p", title='" onload="alert(1)') == '<p title="&quot; onload=&quot;alert(1)"></p>'


@pytest.mark.parametrize("bad", ["\x00", "\x1b", "\x7f", "\ud800", "\uffff", "\ufdd0"])
def test_characters_that_html_has_not_are_replaced(bad: str) -> None:
    result = element("p", f"a{bad}b", title=bad)
    assert result == '<p title="\ufffd">a\ufffdb</p>'
    result.encode()


def test_nested_markup_is_joined_without_escaping() -> None:
    assert join(["a & ", [element("b", "x"), None], (part for part in "yz")]) == "a &amp; <b>x</b>yz"
    assert isinstance(join("x"), Markup)


def test_attributes_are_named_as_in_python() -> None:
    result = element("a", class_="x", aria_label="y", hidden=True, open=False, id=None, x=0.123456789, rows=3)
    assert result == '<a class="x" aria-label="y" hidden x="0.123457" rows="3"></a>'
    assert element("meta", name="x") == '<meta name="x">'
