"""What every test may use."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# As the command line does, before anything imports torch: tests often share their cores with something else.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Output goes to a pipe, whatever the width of the terminal is that the tests run in; pytest-xdist sets it as well.
os.environ.pop("COLUMNS", None)
# Where a shell started the tests in the background they ignore Ctrl-C, and so would programs that they interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples every time, so that a red run is the fault of a change; 'pytest --hypothesis-profile explore' draws
# new ones, and keeps those that fail in .hypothesis/.
settings.register_profile(
    "repeat", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile("repeat")

_ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _same_chance() -> None:
    """What a test draws without a seed does not depend on the tests before it."""
    import torch  # after what is set above

    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of data that is too large for the repository: ``EDGEPRUNE_DATA``, or ``../shared`` beside it."""
    folder = Path(os.environ.get("EDGEPRUNE_DATA", _ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no data in {folder}: set EDGEPRUNE_DATA to the folder that has cifar10/")
    return folder
