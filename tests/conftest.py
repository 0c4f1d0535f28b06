"""What every test may use."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# As the command line does, before anything imports torch: tests often share their cores with something else.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Output goes to a pipe, whatever the width of the terminal is that the tests run in; pytest-xdist sets it as well.
os.environ.pop("COLUMNS", None)
# Where a shell started the tests in the background they ignore Ctrl-C, and so would programs that they interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# './scripts/test fast' leaves out tests of whole programs in these folders, tests with these fixtures, which are whole
# bundles, and all tests marked 'long'.
_LONG_FOLDERS = ("docs", "packaging", "recipes", "scripts", "zoo")
_LONG_FIXTURES = {"built", "digits_bundle"}

# The same examples every time, so that a red run is the fault of a change; 'pytest --hypothesis-profile explore' draws
# new ones, more of them, and keeps those that fail in .hypothesis/.
settings.register_profile(
    "repeat",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=30,
)
settings.register_profile("explore", deadline=None, print_blob=True, max_examples=1000)
settings.load_profile("repeat")

_ROOT = Path(__file__).parents[1]


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = item.path.relative_to(_ROOT / "tests").parts[0]
        if folder in _LONG_FOLDERS or not _LONG_FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.long)
    # Files with long tests first: of two processes, none is left with a file of minutes when the other has ended.
    long_files = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: item.path not in long_files)


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


@pytest.fixture(scope="session")
def digits_bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Build the digits network for a target, once for all processes of the session; a test copies what it changes.

    Call it with the target, its runtime and settings of the recipe by their dotted names.
    """
    from edgeprune.config import Recipe, Target
    from edgeprune.pipeline import build

    common = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        common = common.parent

    def bundle(target: str, settings: dict[str, object], *, runtime: str | None = None) -> Path:
        key = hashlib.sha256(json.dumps([target, runtime, settings], sort_keys=True).encode()).hexdigest()
        place = common / f"digits-bundle-{key[:16]}"
        with (common / "digits-bundle.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not place.exists():
                chosen = Target.load(target)
                built = build(
                    Recipe.load("digits").override({"prune.samples": 64, **settings}),
                    chosen if runtime is None else chosen.with_runtime(runtime),
                    output=common / "digits-bundle-output",
                    cache=common / "digits-bundle-cache",
                )
                built.folder.parent.rename(place)
        (folder,) = (path for path in place.iterdir() if path.is_dir())
        return folder

    return bundle
