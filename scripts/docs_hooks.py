"""mkdocs hooks: links with page titles, or plain text for files that the site lacks, and the order of results."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?![a-z]+:|#)([^)#\s]+)([^)\s]*)\)")
_BOOSTS = {"install.md": 4, "tutorials": 1.2, "guides": 2, "benchmarks": 0.3, "decisions": 0.5}
"""Weights of search results by folder, so that instructions precede tables of measurements."""
_FILE_NAME = re.compile(r"[\w/.-]+\.md")


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Return the text of a page whose links stay in the documentation folder and name other pages by their titles."""
    folder = posixpath.dirname(page.file.src_uri)
    page.meta["search"] = {"boost": _BOOSTS.get(page.file.src_uri.partition("/")[0], 1)}

    def replaced(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, link[2]))
        if path.startswith(".."):
            return link[1]
        text = _title(Path(config["docs_dir"], path)) if _FILE_NAME.fullmatch(link[1]) else None
        return link[0] if text is None else f"[{text}]({link[2]}{link[3]})"

    return _LINK.sub(replaced, markdown)


def _title(page: Path) -> str | None:
    """Return the first heading of a page; None if the page is generated."""
    first = page.read_text(encoding="utf-8").partition("\n")[0] if page.is_file() else ""
    return first.removeprefix("# ") if first.startswith("# ") else None
