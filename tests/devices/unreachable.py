"""An emulator is downloaded: where that cannot be, its tests are skipped."""

from __future__ import annotations

import pytest

_SAID = ("installing an emulator needs", "apt-get cannot download", "pip cannot install")


def skip(text: str) -> None:
    """Skip the test, if ``text`` is that what an emulator is made of cannot be had here."""
    if text.startswith(_SAID):
        pytest.skip(f"the emulator cannot be installed here: {text}")
