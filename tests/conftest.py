"""What every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# As the command line does, before anything imports torch: tests often share their cores with something else.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of data that is too large for the repository: ``EDGEPRUNE_DATA``, or ``../shared`` beside it."""
    folder = Path(os.environ.get("EDGEPRUNE_DATA", _ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no data in {folder}: set EDGEPRUNE_DATA to the folder that has cifar10/")
    return folder
