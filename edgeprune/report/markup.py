"""Construction of HTML and SVG. This is the only module that escapes text, when it is added to an element."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Union

Content = Union[str, "Markup", Iterable["Content"], None]
Value = str | int | float | bool | None

_EMPTY = frozenset({"br", "col", "link", "meta"})
"""Elements of HTML without an end tag."""
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""Characters that HTML does not allow or UTF-8 cannot encode."""


class Markup(str):
    """Text that is already HTML; any other ``str`` is escaped when it is added to an element."""

    __slots__ = ()


def element(tag: str, /, *content: Content, **attributes: Value) -> Markup:
    """Return the element ``<tag attribute="value">content</tag>``.

    Args:
        tag: Name of the element.
        content: Text and elements, in any nesting; None is omitted.
        attributes: Values by name. ``_`` is replaced by ``-``, and removed at the end (``class_``). None and False are
            omitted.
    """
    attribute_text = "".join(_attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    if tag in _EMPTY:
        return Markup(f"<{tag}{attribute_text}>")
    return Markup(f"<{tag}{attribute_text}>{join(content)}</{tag}>")


def join(content: Content) -> Markup:
    """Return the concatenation of ``content``."""
    if content is None:
        return Markup("")
    if isinstance(content, Markup):
        return content
    if isinstance(content, str):
        return Markup(_escaped(content))
    return Markup("".join(join(one) for one in content))


def _attribute(name: str, value: Value) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    return f' {name}="{_escaped(f"{value:.6g}" if isinstance(value, float) else str(value))}"'


def _escaped(text: str) -> str:
    return html.escape(_CONTROLS.sub("\ufffd", text))
