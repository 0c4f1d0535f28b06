"""The bench of schedules: what it runs, what its tables say, and that every kind of case runs on the digits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from edgeprune import schedules
from edgeprune.config import Recipe
from edgeprune.errors import InputError
from edgeprune.model.splits import TensorSplit
from edgeprune.training import Teacher
from scripts import bench_finetuning, train_dense
from scripts.bench_schedules import BASELINE, Bench, Case, cases, report
from scripts.schedule_runs import First, Journal, Row, cell, load_data


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench("digits", epochs=1, steps=2)


def _rows(
    case: str, *validation: float, steps: int = 680, dense_steps: int | None = 0, recipe: str = "digits"
) -> list[Row]:
    """One a seed, with accuracies that are lower by 0.101 on the test part."""
    common = {"recipe": recipe, "case": case, "budget": 0.1, "steps": steps, "dense_steps": dense_steps}
    measured = {"macs_share": 0.0999, "cpu_seconds": 12.4, "machine": "a machine"}
    return [
        {**common, **measured, "seed": seed, "validation": one, "test": one - 0.101}
        for seed, one in enumerate(validation)
    ]


@pytest.fixture
def rows() -> list[Row]:
    return [
        {"recipe": "digits", "case": "dense", "validation": 0.99, "test": 0.98, "machine": "a machine"},
        *_rows("one_shot", 0.96, 0.98, dense_steps=1360),
        *_rows("retrain_from_scratch", 0.93, 0.93, dense_steps=1360),
        *_rows(BASELINE, 0.94, 0.94),
        *_rows(BASELINE, 0.98, 0.98, steps=2040),
        *_rows("lottery_ticket", 0.92, 0.98),
        *_rows("lottery_ticket", 0.99, 0.99, steps=2040),
    ]


def _cells(text: str, name: str) -> list[str]:
    schedule, *options = name.split(" ")
    line = next(line for line in text.splitlines() if line.startswith(f"| {' '.join([f'`{schedule}`', *options])} |"))
    return line.strip("| ").split(" | ")[1:]


def test_every_schedule_has_a_case_and_every_case_can_be_made() -> None:
    assert {case.schedule for case in cases().values()} == set(schedules.registered())
    assert BASELINE in cases()
    for case in cases().values():
        schedules.create(case.schedule, case.options)


def test_case_name_has_its_options() -> None:
    assert str(Case("at_init", {"criterion": "random", "draws": 4})) == "at_init criterion=random draws=4"
    assert str(Case("gradual", {"straight": False})) == "gradual straight=false"


def test_schedules_from_scratch_also_run_with_the_dense_training_steps() -> None:
    expected = list(Bench("digits").wanted(["one_shot", "retrain*", "at_init criterion=snip"], [0.1], [3]))
    assert {row["seed"] for row in expected} == {3}
    results: dict[str, list[tuple[int, int]]] = {}
    for row in expected:
        results.setdefault(row["case"], []).append((row["steps"], row["dense_steps"]))
    assert results == {
        "one_shot": [(640, 1280)],
        "retrain_from_scratch": [(640, 1280)],
        BASELINE: [(640, 0), (1920, 0)],
        "at_init criterion=snip": [(640, 0), (1920, 0)],
    }


def test_a_seed_is_finished_before_the_next_begins(bench: Bench) -> None:
    assert [row["seed"] for row in bench.wanted(["one_shot", "gradual"], [0.5], [0, 1])] == [0, 0, 1, 1]


def test_as_many_steps_and_as_many_in_all_are_compared_with_the_baseline_that_had_them(rows: list[Row]) -> None:
    text = report(rows, "digits", "validation")
    assert "| | needs dense | 680 steps | 2,040 in all | MACs | s |" in text
    assert _cells(text, "one_shot") == ["yes", "97.00 ±1.41 (+3.00)", "97.00 ±1.41 (-1.00)", "10.0", "12"]
    assert _cells(text, "lottery_ticket") == ["no", "95.00 ±4.24 (+1.00)", "99.00 ±0.00 (+1.00)", "10.0", "12"]
    assert "dense 99.00" in text
    order = [line.split(" |")[0] for line in text.splitlines() if line.startswith("| `")]
    assert order == [
        "| `one_shot`",
        "| `lottery_ticket`",
        f"| `{BASELINE.replace(' ', '` ')}",
        "| `retrain_from_scratch`",
    ]


def test_page_marks_insignificant_and_marginal_differences(rows: list[Row]) -> None:
    text = report(rows, "digits", "validation")
    baseline = "`retrain_from_scratch` widths=random"
    assert (
        f"- 680 steps: 2 of 3 are better than {baseline}; not better: `retrain_from_scratch` (-1.00); better by less "
        "than two standard errors: `lottery_ticket`."
    ) in text
    assert (
        f"- 2,040 in all: 1 of 3 are better than {baseline}; not better: `one_shot` (-1.00), `retrain_from_scratch` "
        "(-5.00)."
    ) in text


@pytest.mark.parametrize(("part", "other"), [("validation", "test"), ("test", "validation")])
def test_a_report_shows_one_part_alone(rows: list[Row], part: str, other: str) -> None:
    text = report(rows, "digits", part)
    assert text == report([{key: row[key] for key in row if key != other} for row in rows], "digits", part)
    assert ("97.00" in text) == (part == "validation")
    assert ("86.90" in text) == (part == "test")


def test_table_has_one_column_if_the_dense_training_is_unknown() -> None:
    of_digits = _rows("one_shot", 0.5, dense_steps=1360)
    rows = [
        *of_digits,
        *_rows("one_shot", 0.9, recipe="other", dense_steps=None),
        *_rows(BASELINE, 0.8, recipe="other"),
    ]
    text = report(rows, "other", "validation")
    assert "| | needs dense | 680 steps | MACs | s |" in text
    assert _cells(text, "one_shot")[:2] == ["yes", "90.00 (+10.00)"]


def test_a_page_says_that_seeds_are_missing(rows: list[Row]) -> None:
    assert "Mean over seeds 0, 1, ±" in report(rows, "digits", "validation")
    assert "Mean over seeds 0, 1 (not all of them of every case yet), ±" in report(rows[:-1], "digits", "validation")


def test_report_without_baseline_has_no_comparison() -> None:
    text = report(_rows("one_shot", 0.9, dense_steps=1360), "digits", "validation")
    assert _cells(text, "one_shot")[1:3] == ["90.00", "90.00"]
    assert "better" not in text


def test_cases_in_the_journal_are_not_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own, other = tmp_path / "own.jsonl", tmp_path / "other.jsonl"
    Journal([other]).fill({"case": "a", "seed": 0}, lambda _key: {"validation": 0.25, "test": 0.75})
    cut = other.read_text(encoding="utf-8") + '{"case"'  # its process is writing
    other.write_text(cut, encoding="utf-8")
    own.write_text(json.dumps({"case": "b", "seed": 0}) + '\n{"case": "c"', encoding="utf-8")
    journal = Journal([own, other])
    for case in "abc":
        journal.fill({"case": case, "seed": 0}, lambda _key: {"validation": 0.5, "test": 0.75})
    assert [(row["case"], row.get("validation")) for row in journal.rows] == [("b", None), ("a", 0.25), ("c", 0.5)]
    assert Journal([own]).rows == [journal.rows[0], journal.rows[2]]
    assert other.read_text(encoding="utf-8") == cut
    assert "0.75" not in capsys.readouterr().err


def test_table_cell_shows_the_available_values() -> None:
    assert cell([90.0], None) == "90.00"
    assert cell([90.0], 91.0) == "90.00 (-1.00)"
    assert cell([89.0, 91.0], 89.5) == "90.00 ±1.41 (+0.50)"


def test_the_first_images_are_those_of_the_split() -> None:
    split = TensorSplit(torch.arange(40.0)[:, None], torch.zeros(40, dtype=torch.long))
    first = First(split, 12)
    assert len(first) == 12
    read = torch.cat([inputs for inputs, _ in first.batches(4)])
    assert torch.equal(read, split.images[:12])
    remainder = torch.cat([inputs for inputs, _ in first.batches(4, start=1)])
    assert torch.equal(remainder, split.images[4:12])


@pytest.mark.parametrize("name", ["one_shot", "at_init criterion=snip", BASELINE, "weight_rewinding"])
def test_a_case_runs_within_its_budget(bench: Bench, name: str) -> None:
    row = bench.run(next(iter(bench.wanted([name], [0.3], [1]))))
    assert 0.25 < row["macs_share"] <= 0.3
    assert row["options"] == schedules.create(cases()[name].schedule, cases()[name].options).options


def test_dense_network_is_better_than_after_two_steps(bench: Bench) -> None:
    key = next(iter(bench.wanted([BASELINE], [0.3], [1])))
    assert bench.dense()["validation"] > 0.95 > bench.run(key)["validation"] + 0.2


def test_early_weights_are_on_the_way_from_fresh_ones() -> None:
    recipe = Recipe.load("digits")
    splits = load_data(recipe)
    fresh = train_dense.fresh(recipe).state_dict()
    early, later = (
        train_dense.early(recipe, splits, epochs / train_dense.SETTINGS["digits"].epochs) for epochs in (1, 2)
    )

    def distance(state: dict[str, Any]) -> float:
        return float((state["linear.weight"] - fresh["linear.weight"]).norm())

    assert fresh.keys() == early.keys()
    assert 0 < distance(early) < distance(later)


def test_settings_of_every_table_reach_the_recipe() -> None:
    results = {case: bench_finetuning.recipe_of(case, 0.4, 3, 7) for case in bench_finetuning.CASES}
    assert {(one.seed, one.training.epochs, one.budget.macs) for one in results.values()} == {(7, 3, 0.4)}
    assert results["refitted-fisher"].prune.criterion == "fisher"
    assert results["refitted"].prune.repair == ("constants", "least_squares")
    assert results["half-alpha"].prune.selection_options == {"alpha": 0.5}
    assert results["distilled-t2"].training.distillation.temperature == 2.0
    assert not Teacher.is_enabled(results["plain"].training)


@pytest.mark.long
def test_missing_rewind_weights_are_an_error() -> None:
    recipe = Recipe.load("cifar10-resnet56")
    if recipe.data_dir is None or not (recipe.data_dir / "train.npz").is_file():
        pytest.skip("CIFAR-10 is not at hand (EDGEPRUNE_DATA)")
    bench = Bench("cifar10-resnet56", steps=2)
    (one_shot,) = bench.wanted(["one_shot"], [0.5], [0])
    assert (one_shot["steps"], one_shot["dense_steps"]) == (2, None)
    assert 0.48 < bench.run(one_shot)["macs_share"] <= 0.5
    (rewinding,) = bench.wanted(["weight_rewinding"], [0.5], [0])
    with pytest.raises(InputError, match="early"):
        bench.run(rewinding)
