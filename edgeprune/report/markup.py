"""HTML and SVG as values: text is escaped when it goes in, here and nowhere else."""

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
    """Text that is HTML already; any other ``str`` is escaped where it goes into an element."""

    __slots__ = ()


def element(tag: str, /, *content: Content, **attributes: Value) -> Markup:
    """``<name attribute="value">content</name>``.

    Args:
        tag: Its name.
        content: Text, elements, any nesting of them; None is left out.
        attributes: ``_`` stands for ``-``, and one at the end for nothing (``class_``). None and False are left out.
    """
    written = "".join(_attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    if tag in _EMPTY:
        return Markup(f"<{tag}{written}>")
    return Markup(f"<{tag}{written}>{join(content)}</{tag}>")


def join(content: Content) -> Markup:
    """All of ``content``, one after the other."""
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
