"""The budget of a recipe: what pruning aims for, what is judged in the end, and for which target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeprune.config import Budget, Recipe, RecipeBudget, Target
from edgeprune.config.budget_limits import BudgetConstraint
from edgeprune.errors import RecipeError
from edgeprune.evidence import is_at_least

_TEXT = """
name = "own"
[model]
factory = "net.py:make"
input = [1, 1, 8, 8]
[data]
function = "net.py:data"
[budget]
macs = 0.5
accuracy = "drop 0.5%"
latency_ms = {predicted = 0.6, p95 = "5ms"}
memory_bytes = "20MB"
[budget.targets.raspberry-pi-4]
macs = 0.3
latency_ms.p95 = "9ms"
require = "emulated"
"""


def parse(folder: Path, budget: str) -> Recipe:
    folder.mkdir(exist_ok=True)
    (folder / "recipe.toml").write_text(_TEXT.partition("[budget]")[0] + budget)
    return Recipe.load(folder)


def test_costs_are_pruning_targets_and_other_limits_are_constraints(tmp_path: Path) -> None:
    budget = parse(tmp_path, "[budget]" + _TEXT.partition("[budget]")[2]).budget
    assert budget.pruning_targets == Budget(macs=0.5, latency_ms=0.6)
    assert set(budget.constraints) == {
        BudgetConstraint("accuracy", "drop 0.5%"),
        BudgetConstraint("latency_ms.p95", "5ms"),
        BudgetConstraint("memory_bytes", "20MB"),
    }
    assert budget.required == "estimated"
    board = budget.for_target(*Target.load("rpi").labels)
    assert board.pruning_targets == Budget(macs=0.3, latency_ms=0.6)
    assert BudgetConstraint("latency_ms.p95", "9ms") in board.constraints
    assert BudgetConstraint("accuracy", "drop 0.5%") in board.constraints
    assert board.required == "emulated"
    assert budget.for_target("host").settings() == budget.settings()
    assert budget.for_target(*Target.load("rpi").with_runtime("litert").labels) == board


def test_a_single_limit_is_set_by_its_dotted_key(tmp_path: Path) -> None:
    recipe = parse(tmp_path, "[budget]\nlatency_ms = 0.6\n")
    more = recipe.override(
        {
            "budget.latency_ms.p50": 0.5,
            "budget.accuracy": 0.98,
            "budget.targets.rpi.latency_ms.p50": "3ms",
            "budget.targets.rpi.macs": 0.3,
        }
    ).budget
    assert more.settings() == {"latency_ms.predicted": 0.6, "latency_ms.p50": 0.5, "accuracy": 0.98}
    assert more.for_target("rpi").settings() == {**more.settings(), "latency_ms.p50": "3ms", "macs": 0.3}
    assert recipe.override({"budget.latency_ms": 0.4}).budget.pruning_targets == Budget(latency_ms=0.4)
    assert Recipe.parse(recipe.model_dump(), folder=tmp_path, where="again") == recipe


@pytest.mark.parametrize(
    ("limit", "dense", "resolved"),
    [
        (("accuracy", 0.985), None, 0.985),
        (("accuracy", "98.5%"), None, 0.985),
        (("accuracy", "98.5 %"), None, 0.985),
        (("accuracy", "drop 0.5%"), 0.99, 0.985),
        (("accuracy", "drop 0.005"), 0.99, 0.985),
        (("accuracy", -0.3), None, -0.3),
        (("latency_ms.p95", 0.5), 4.0, 2.0),
        (("latency_ms.p95", "800us"), None, 0.8),
        (("memory_bytes", "1KiB"), None, 1024),
        (("file_bytes", 0.5), 1001, 500),
    ],
)
def test_relative_limits_are_resolved_to_absolute_ones(
    limit: tuple[str, Any], dense: float | None, resolved: float
) -> None:
    assert BudgetConstraint(*limit).resolved(dense) == pytest.approx(resolved)


def test_relative_limit_needs_a_dense_value() -> None:
    with pytest.raises(RecipeError, match=r"'budget\.accuracy'.*'drop 1%'"):
        BudgetConstraint("accuracy", "drop 1%").resolved(None)
    with pytest.raises(RecipeError, match=r"'budget\.latency_ms\.p95'.*0\.5"):
        BudgetConstraint("latency_ms.p95", 0.5).resolved(None)


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ("[budget]\naccuracy = 0.9\n", r"'budget' .*macs, params"),
        ("[budget]\nmacs = 0.5\naccuracy = '-0.5'\n", r"'budget\.accuracy' .*'-0\.5'.*'drop 0\.5%'"),
        ("[budget]\nmacs = 0.5\nlatency_ms.p96 = 3\n", r"'budget\.latency_ms\.p96' .*p9[059]'"),
        ("[budget]\nmacs = 0.5\nlatency_ms.p95 = '3kB'\n", r"'budget\.latency_ms\.p95' .*'3kB'.*'0\.8ms'"),
        ("[budget]\nmacs = 0.5\nmemory_bytes = '3ms'\n", r"'budget\.memory_bytes' .*'3ms'.*'64KiB'"),
        ("[budget]\nmacs = 0.5\nrequire = 'guessed'\n", r"'budget\.require' .*'guessed'.*'measured'"),
        ("[budget]\nmacs = 0.5\n[budget.targets.rpi]\nmac = 3\n", r"'budget\.targets\.rpi\.mac'.*\.macs'"),
        ("[budget]\nmacs = 0.5\n[budget.targets.rpi]\nmacs = 0\n", r"'budget\.targets\.rpi\.macs' .* 0,"),
    ],
)
def test_invalid_limits_are_refused(tmp_path: Path, budget: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse(tmp_path, budget)


def test_unknown_target_and_impossible_evidence_are_refused() -> None:
    budget = RecipeBudget.model_validate({"macs": 0.5, "targets": {"rasberry": {"macs": 0.3}}})
    with pytest.raises(RecipeError, match=r"'budget\.targets\.rasberry'.*'raspberry-pi-4'"):
        budget.check_targets(lambda _name: False, ["host", "raspberry-pi-4"])
    budget.check_targets(lambda _name: True, [])
    for cost in ("latency_ms", "flash_bytes"):
        expected = RecipeBudget.model_validate({cost: 0.5, "require": "measured"})
        with pytest.raises(RecipeError, match=rf"'budget.{cost}'.*budget.require"):
            expected.check_evidence()
    RecipeBudget.model_validate({"macs": 0.5, "latency_ms": {"p50": "3ms"}, "require": "measured"}).check_evidence()


def test_arena_limit_with_required_measurement_needs_the_board() -> None:
    budget = RecipeBudget.model_validate({"arena_bytes": "64KiB"})
    assert budget.constraints == ()
    strict = RecipeBudget.model_validate({"arena_bytes": "64KiB", "require": "measured"})
    strict.check_evidence()
    assert strict.constraints == (BudgetConstraint("arena_bytes", "64KiB"),)
    assert strict.pruning_targets == budget.pruning_targets


def test_evidence_has_an_order() -> None:
    assert is_at_least("exact", "measured")
    assert is_at_least("emulated", "estimated")
    assert not is_at_least("estimated", "emulated")
    assert not is_at_least("emulated", "measured")
