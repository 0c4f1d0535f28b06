"""Every reader of foreign input on its seeds, on inputs that once broke it, and on a few seeded mutations."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_SCRIPTS = Path(__file__).parents[2] / "scripts"
sys.path.insert(0, str(_SCRIPTS))

from explore import mutate, readers  # noqa: E402

_REGRESSIONS = _SCRIPTS / "explore" / "regressions"
_MUTATIONS = 25


@pytest.mark.parametrize("name", readers.READERS)
def test_every_reader_accepts_its_seeds(name: str) -> None:
    seeds = list(readers.seeds(name))
    assert seeds
    for seed in seeds:
        readers.READERS[name](seed)


def _regressions() -> Iterator[tuple[str, str]]:
    for path in sorted(_REGRESSIONS.glob("*/*")):
        yield path.parent.name, path.name


@pytest.mark.parametrize(("name", "file"), list(_regressions()))
def test_an_input_that_was_found_is_a_deliberate_error(name: str, file: str) -> None:
    _check(name, (_REGRESSIONS / name / file).read_bytes())


@pytest.mark.parametrize("name", readers.READERS)
def test_mutations_are_deliberate_errors(name: str) -> None:
    chance = random.Random(name)
    seeds = list(readers.seeds(name))
    for _ in range(_MUTATIONS):
        _check(name, mutate.mutated(chance.choice(seeds), chance))


def _check(name: str, content: bytes) -> None:
    started = time.monotonic()
    try:
        readers.READERS[name](content)
    except readers.ALLOWED as problem:
        assert str(problem)  # noqa: PT017
    assert time.monotonic() - started < 6 * readers.TIME_LIMIT_S  # a busy machine is no hang
