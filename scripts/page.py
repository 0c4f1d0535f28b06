"""What benches share: a page that keeps what is around their text, and the processor that figures belong to."""

from __future__ import annotations

import platform
import re
from pathlib import Path

from edgeprune.files import write_atomic


def write_between(path: Path, marker: str, heading: str, text: str) -> None:
    """Put ``text`` between the markers of that name, under ``heading`` at the end of the page where there are none."""
    begin, end = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    page = path.read_text(encoding="utf-8") if path.exists() else "# Criteria, selections and repairs\n"
    if begin not in page:
        page += f"\n## {heading}\n\n{begin}\n{end}\n"
    marked = f"{begin}\n{text}\n{end}"
    write_atomic(path, re.sub(f"{begin}.*?{end}", lambda _: marked, page, count=1, flags=re.DOTALL))


def processor() -> str:
    """How many and what they are called, where Linux says it."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return f"{len(names)} x {names[0].partition(':')[2].strip()}" if names else platform.machine()
