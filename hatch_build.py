"""Hatchling hook: the README of the package's metadata, whose relative links would be broken outside the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|mailto:|#)([^)\s]+)\)")


class CustomMetadataHook(MetadataHookInterface):
    """Sets ``readme``; ``[project.urls] Source`` in pyproject.toml, where there is one, is the base of its links."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        base = metadata.get("urls", {}).get("Source")
        metadata["readme"] = {"content-type": "text/markdown", "text": absolute_links(text, base)}


def absolute_links(text: str, base: str | None) -> str:
    """``text`` with relative links below ``base``; without a base, links become their text and images are left out."""

    def replaced(link: re.Match[str]) -> str:
        image, label, target = link.groups()
        if base is not None:
            return f"{image}[{label}]({base.rstrip('/')}/{target.removeprefix('./')})"
        return "" if image else label

    return _LINK.sub(replaced, text)
