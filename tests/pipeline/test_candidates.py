"""A build that is left to choose compares candidate plans, and repeats."""

from __future__ import annotations

import json
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from edgeprune.bundle.manifest import Manifest
from edgeprune.candidates import Candidate
from edgeprune.config import Recipe
from edgeprune.errors import RecipeError
from edgeprune.pipeline import BuildResult, build
from edgeprune.report import candidate_table
from tests import processes, quick_host

pytestmark = pytest.mark.long

_FREE = {
    "prune.criterion": "auto",
    "prune.selection": "auto",
    "prune.align": "auto",
    "prune.samples": 64,
    "training.epochs": 0,
    "quantize.precision": "float32",
}


def _build(folder: Path, *, lock: Path | None = None, update_lock: bool = False, **settings: object) -> BuildResult:
    options = {**_FREE, **{key.replace("__", "."): value for key, value in settings.items()}}
    recipe = Recipe.load("digits").override(options)
    return build(
        recipe,
        quick_host.quick_host(),
        output=folder / "dist",
        cache=folder / "cache",
        lock=lock,
        update_lock=update_lock,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("candidates")


@pytest.fixture(scope="module")
def built(folder: Path) -> BuildResult:
    return _build(folder)


def test_manifest_and_report_list_the_candidates(built: BuildResult) -> None:
    plans = built.manifest.candidates
    assert {plan.criterion for plan in plans} == {"fisher", "l2"}
    assert {plan.align for plan in plans} == {8, 1}
    (chosen,) = [plan for plan in plans if plan.chosen]
    dense, pruned = built.manifest.metrics.dense, built.manifest.metrics.pruned
    assert chosen.macs == pytest.approx(pruned.macs / dense.macs)
    assert all(plan.macs <= 0.5 and plan.loss is not None and plan.accuracy is not None for plan in plans)
    assert all(plan.trained_loss is None for plan in plans)
    lowest = min(plan.loss for plan in plans if plan.loss is not None)
    assert chosen.loss == lowest or chosen.align > 1
    plan = json.loads((built.folder / "plan.json").read_text(encoding="utf-8"))
    assert plan["origin"]["criterion"] == chosen.criterion
    page = (built.folder / "report.html").read_text(encoding="utf-8")
    assert all(candidate_table.name(plan) in page for plan in plans)


def test_second_build_compares_no_candidates(folder: Path, built: BuildResult) -> None:
    again = _build(folder)
    assert all(stage.cached for stage in again.stages)
    assert again.manifest == built.manifest


def test_lock_repeats_the_choice_for_the_same_settings(folder: Path, built: BuildResult) -> None:
    lock = folder / "edgeprune.lock"

    def table() -> dict[str, str]:
        return dict(json.loads(lock.read_text())["recipes"]["digits"]["targets"]["host"]["plans"])

    def chosen(result: BuildResult) -> str:
        (plan,) = [plan for plan in result.manifest.candidates if plan.chosen]
        return str(Candidate(plan.criterion, plan.selection, plan.balance, plan.align))

    def ran(result: BuildResult) -> set[str]:
        return {stage.name for stage in result.stages if not stage.cached}

    first = _build(folder, lock=lock)
    assert (ran(first), first.manifest) == (set(), built.manifest)
    ((key, name),) = table().items()
    assert name == chosen(first)
    plan = next(plan for plan in built.manifest.candidates if not plan.chosen)
    other = str(Candidate(plan.criterion, plan.selection, plan.balance, plan.align))
    text = lock.read_text()
    lock.write_text(text.replace(name, other))
    second = _build(folder, lock=lock)
    assert chosen(second) == other
    assert {"candidates", "select"} <= ran(second)
    scores = [
        [plan.model_copy(update={"chosen": False}) for plan in result.manifest.candidates] for result in (first, second)
    ]
    assert scores[0] == scores[1]
    _build(folder, lock=lock, budget__macs=0.6)
    assert len(table()) == 2
    assert table()[key] == other
    assert ran(_build(folder, lock=lock)) == {"bundle"}  # the other budget has replaced it
    assert "candidates" in ran(_build(folder, lock=lock, update_lock=True))
    assert table()[key] == name
    lock.write_text(text.replace(name, "best"))
    with pytest.raises(RecipeError, match=rf"targets.host.plans.{key}.*'best'"):
        _build(folder, lock=lock)


def test_fixed_settings_compare_no_candidates(folder: Path) -> None:
    result = _build(folder, prune__criterion="l2", prune__selection="global", prune__align="target")
    assert result.manifest.candidates == ()
    plan = json.loads((result.folder / "plan.json").read_text(encoding="utf-8"))
    assert plan["origin"]["criterion"] == "l2"


def test_build_killed_while_comparing_candidates_resumes(tmp_path: Path) -> None:
    settings = [part for key, value in {**_FREE, "training.epochs": 10}.items() for part in ("--set", f"{key}={value}")]
    whole, killed = (tmp_path / name for name in ("whole", "killed"))
    for folder in (whole, killed):
        folder.mkdir()
        quick_host.write(folder)

    def start(folder: Path) -> BaseProcess:
        return processes.start(processes.build, "digits", *settings, folder=folder, log=folder / "build.log")

    def finish(folder: Path) -> None:
        process = start(folder)
        process.join(900)
        assert process.exitcode == 0, (folder / "build.err").read_text()

    finish(whole)
    process = start(killed)
    deadline = time.monotonic() + 900
    while not list(killed.glob(".edgeprune/work/candidates-*/keep/*/*")):
        assert process.is_alive(), "the build ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    finish(killed)
    folders = [tmp_path / name / "dist" / "digits-host" for name in ("whole", "killed")]
    assert len({(folder / "weights.safetensors").read_bytes() for folder in folders}) == 1
    first, second = (Manifest.load(folder).candidates for folder in folders)
    assert first == second
    assert sum(plan.trained_loss is not None for plan in first) == 2
