"""Every reader of foreign input on its seeds, on inputs that once broke it, and on a few seeded mutations."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgeprune.bundle import archive
from edgeprune.errors import BundleError, ModelError
from edgeprune.export import onnx_loading
from edgeprune.tflite import tflite_loading
from scripts.explore import mutations, readers

_SCRIPTS = Path(__file__).parents[2] / "scripts"

_SEEDS = _SCRIPTS / "explore" / "seeds"
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
        _check(name, mutations.mutated(chance.choice(seeds), chance))


def test_a_mutated_archive_whose_manifest_states_the_new_hashes_is_verified(tmp_path: Path) -> None:
    content, chance = (_SEEDS / "archive" / "bundle.tar.gz").read_bytes(), random.Random(1)
    path, accepted = tmp_path / "bundle.tar.gz", 0
    for _ in range(40):
        path.write_bytes(mutations.mutated_file(path.name, content, chance))
        with contextlib.suppress(BundleError):
            archive.read(path)
            accepted += path.read_bytes() != content
    assert accepted >= 5


@pytest.mark.parametrize(("kind", "load"), [("onnx", onnx_loading.load_file), ("tflite", tflite_loading.load_file)])
def test_most_mutated_models_can_still_be_parsed(kind: str, load: Callable[[Path], object], tmp_path: Path) -> None:
    seed, chance, parsed = _SEEDS / kind / f"model.{kind}", random.Random(1), 0
    for _ in range(40):
        path = tmp_path / seed.name
        path.write_bytes(mutations.mutated_file(path.name, seed.read_bytes(), chance))
        with contextlib.suppress(ModelError):
            load(path)
            parsed += path.read_bytes() != seed.read_bytes()
    assert parsed >= 10


@pytest.mark.long
def test_the_mutation_runner_counts_every_input(tmp_path: Path) -> None:
    arguments = ["--count", "12", "--seed", "3", "--only", "convert", str(_SEEDS / "bundle")]
    script = _SCRIPTS / "explore" / "mutate.py"
    command = [sys.executable, script, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    counts = json.loads(ended.stdout)
    assert counts["inputs"] == sum(counts["codes"].values()) == counts["by_file"][".onnx"] == 12
    assert not any(counts[name] for name in ("tracebacks", "crashes", "hangs", "wrong_codes", "left_files"))


def _check(name: str, content: bytes) -> None:
    started = time.monotonic()
    try:
        readers.READERS[name](content)
    except readers.ALLOWED as problem:
        assert str(problem)  # noqa: PT017
    assert time.monotonic() - started < 6 * readers.TIME_LIMIT_S  # a busy machine is no hang
