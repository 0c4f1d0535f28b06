"""Templates of project files: text with ``$name`` where values are filled in."""

from __future__ import annotations

from pathlib import Path
from string import Template

_FOLDER = Path(__file__).with_name("templates")


def filled(template: str, /, **values: object) -> str:
    """Return the text of ``template`` with ``values``."""
    return Template((_FOLDER / f"{template}.template").read_text(encoding="utf-8")).substitute(values)
