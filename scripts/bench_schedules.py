"""When to prune: every schedule at the same MACs and with the same number of training steps.

    python scripts/bench_schedules.py --cases '*' --budgets 0.1 --seeds 0 1 2 3 4 --journal schedules.jsonl
    python scripts/bench_schedules.py --cases 'penalty*' gradual --budgets 0.1 --journal schedules.jsonl
    python scripts/bench_schedules.py --recipe cifar10-resnet56 --cases one_shot gradual --journal schedules.jsonl
    python scripts/bench_schedules.py --journal schedules.jsonl --write docs/benchmarks/schedules.md

A case is a schedule with options, at a share of the dense MACs, with one seed: that of the samples for scoring and
repair, of the order of training, and of fresh weights. All are trained as the recipe says, but with labels alone. Cases
that need no dense network run twice: with the steps of the others, and with those of the dense training besides.

The journal (JSON lines) makes it restartable: what any --journal has is not run again, what is new goes to the first.
Accuracies on the test part are in the journal, and stay hidden until --reveal-test: choices are made on validation.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from edgeprune import schedules  # noqa: E402
from edgeprune.config import Recipe  # noqa: E402
from edgeprune.errors import EdgePruneError  # noqa: E402
from edgeprune.model import network, weights  # noqa: E402
from edgeprune.model.batches import training_steps  # noqa: E402
from scripts import schedule_runs, train_dense  # noqa: E402
from scripts.page import write_between  # noqa: E402
from scripts.schedule_runs import PARTS, First, Journal, Row, add_arguments, cell, load_data  # noqa: E402

LABELS_ALONE = {"training.distillation.weight": 0.0, "training.distillation.features": 0.0}
DENSE = "dense"
BASELINE = "retrain_from_scratch widths=random"

# Of schedules that have several; the others as they are by default.
_VARIANTS: dict[str, Sequence[dict[str, Any]]] = {
    "at_init": ({"criterion": "snip"}, {"criterion": "random", "draws": 4}),
    "gradual": ({}, {"straight": False}),
    "iterative": ({}, {"path": "polynomial"}),
    "lottery_ticket": ({}, {"control": True}),
    "mask_learning": [{"agent": agent} for agent in ("gates", "attention", "policy")],
    "penalty": [{"kind": kind} for kind in ("l1", "l0", "group_lasso", "elastic_net", "sparse_group_lasso", "growing")],
    "retrain_from_scratch": ({}, {"widths": "random"}),
}


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    journal = Journal(arguments.journal)
    failed = []
    if arguments.cases:
        bench = Bench(arguments.recipe, arguments.epochs, arguments.steps)
        journal.fill({"recipe": arguments.recipe, "case": DENSE}, lambda _key: bench.dense())
        expected = bench.wanted(arguments.cases, arguments.budgets, arguments.seeds)
        failed = [key["case"] for key in expected if not _filled(journal, bench, key)]
    parts = PARTS if arguments.reveal_test else PARTS[:1]
    text = "\n\n".join(report(journal.rows, arguments.recipe, part) for part in parts)
    print(text)
    if arguments.write:
        write_between(arguments.write, f"schedules {arguments.recipe}", f"When to prune: {arguments.recipe}", text)
    sys.exit(1 if failed else 0)


def _filled(journal: Journal, bench: Bench, key: Row) -> bool:
    """Whether ``key`` could be run; what cannot on a recipe does not keep the others from it."""
    try:
        journal.fill(key, bench.run)
    except EdgePruneError as problem:
        print(f"{key['case']}: {type(problem).__name__}: {problem}", file=sys.stderr, flush=True)
        return False
    return True


@dataclass(frozen=True)
class Case:
    """A schedule with options other than by default."""

    schedule: str
    options: dict[str, Any]

    def __str__(self) -> str:
        lines = (f"{key}={one if isinstance(one, str) else json.dumps(one)}" for key, one in self.options.items())
        return " ".join([self.schedule, *lines])

    @property
    def needs_dense(self) -> bool:
        """Whether the dense network has to be trained before: the baseline draws widths and weights alike."""
        return schedules.find(self.schedule).starts == "trained" and str(self) != BASELINE


def cases() -> dict[str, Case]:
    """Of every schedule that there is, by name."""
    results = [Case(name, options) for name in schedules.registered() for options in _VARIANTS.get(name, ({},))]
    return {str(case): case for case in results}


class Bench:
    """A recipe's network and data, pruned and trained in many ways.

    Args:
        recipe: Its name.
        epochs: Of every schedule; None: as the recipe says.
        steps: A try: batches an epoch, of the first images of each part; None: all there are.
    """

    def __init__(self, recipe: str, epochs: int | None = None, steps: int | None = None) -> None:
        self._recipe = Recipe.load(recipe).override(LABELS_ALONE)
        if self._recipe.training.precision == "auto":  # which every run would measure anew
            self._recipe = self._recipe.override({"training.precision": "bfloat16", "training.channels_last": True})
        self._data = load_data(self._recipe)
        batch, recipe_epochs = self._recipe.training.batch_size, self._recipe.training.epochs
        if batch == "auto" or recipe_epochs == "auto":
            raise SystemExit(f"recipe {recipe}: training.batch_size and training.epochs must be numbers")
        if steps is not None:
            parts: dict[str, Any] = {role: First(split, steps * batch) for role, split in self._data.splits().items()}
            self._data = replace(self._data, **parts)
        self._epoch_steps = training_steps(len(self._data.train), batch)
        self._epochs = epochs or recipe_epochs
        trained = train_dense.SETTINGS.get(recipe)
        self._dense_epochs = None if trained is None or trained.epochs == "auto" else trained.epochs
        self._cases = cases()

    def wanted(self, patterns: Iterable[str], budgets: Iterable[float], seeds: Iterable[int]) -> Iterator[Row]:
        """What identifies each row that is to be; a seed is finished before the next begins."""
        names = [name for name in self._cases if any(fnmatchcase(name, pattern) for pattern in patterns)]
        dense = self._dense_epochs
        for seed, budget, name in product(seeds, budgets, names):
            key = {"recipe": self._recipe.name, "case": name, "budget": budget, "seed": seed}
            if self._cases[name].needs_dense:
                yield {
                    **key,
                    "steps": self._epochs * self._epoch_steps,
                    "dense_steps": dense and dense * self._epoch_steps,
                }
            else:
                for epochs in dict.fromkeys([self._epochs, self._epochs + (dense or 0)]):
                    yield {**key, "steps": epochs * self._epoch_steps, "dense_steps": 0}

    def dense(self) -> Row:
        """How good the dense network is."""
        recipe = self._recipe
        model = network.load_model(recipe.model.factory, recipe.weights_path, base=recipe.folder)
        return schedule_runs.accuracies(model, self._data)

    def run(self, key: Row) -> Row:
        """Prune and train once, and look at the last epoch.

        Raises:
            EdgePruneError: The schedule needs what the recipe does not have, or it failed.
        """
        case = self._cases[key["case"]]
        options = schedules.create(case.schedule, case.options).options
        settings = {
            "schedule": {"name": case.schedule, **case.options},
            "budget.macs": key["budget"],
            "seed": key["seed"],
            "training.epochs": key["steps"] // self._epoch_steps,
        }
        with tempfile.TemporaryDirectory() as folder:
            if schedules.find(case.schedule).needs_rewind_weights and self._dense_epochs is not None:
                settings["model.rewind_weights"] = str(Path(folder) / "early.safetensors")
                early = train_dense.early(self._recipe, self._data, options["rewind"])
                weights.save(early, Path(settings["model.rewind_weights"]))
            return {"options": options, **schedule_runs.run(self._recipe.override(settings), self._data)}


def report(rows: Iterable[Row], recipe: str, part: str) -> str:
    """Tables of accuracies by case, mean over seeds, and which cases are not better than the baseline."""
    own = [row for row in rows if row["recipe"] == recipe]
    dense = [f", dense {100 * row[part]:.2f}" for row in own if row["case"] == DENSE]
    pruned = [row for row in own if row["case"] != DENSE]
    seeds = ", ".join(map(str, sorted({row["seed"] for row in pruned})))
    counts = Counter((row["case"], row["budget"], row["steps"]) for row in pruned)
    some = "" if len(set(counts.values())) < 2 else " (not all of them of every case yet)"
    lines = f"""`scripts/bench_schedules.py --recipe {recipe}`: accuracy in % on the {part} part,
last epoch{"".join(dense)}.
Mean over seeds {seeds}{some}, ± their standard deviation; in brackets the distance to {_shown(BASELINE)}:
what random widths and fresh weights give with as many steps. Labels alone, no distillation. *s*: seconds of processor
time for pruning and training, with the steps of the first column.

{"; ".join(sorted({row["machine"] for row in own}))}.""".splitlines()
    # Those that need the dense network say what the others are to be compared with.
    sizes = {(row["budget"], row["steps"], row["dense_steps"]) for row in pruned if row["dense_steps"] != 0}
    for budget, steps, dense_steps in sorted(sizes, key=lambda size: (-size[0], size[1])):
        columns = {f"{steps:,} steps": _by_case(pruned, budget, steps=steps)}
        if dense_steps is not None:
            columns[f"{steps + dense_steps:,} in all"] = _by_case(pruned, budget, total=steps + dense_steps)
        lines += ["", f"### {recipe} at {100 * budget:g} % of the MACs, {part}", ""]
        lines += [*_fairness(steps, dense_steps), "", *_table(columns, part), "", *_verdicts(columns, part)]
    return "\n".join(lines)


def _by_case(
    rows: Iterable[Row], budget: float, *, steps: int | None = None, total: int | None = None
) -> dict[str, list[Row]]:
    """Rows of so many steps of the schedule, or of so many in ``total``."""
    results: dict[str, list[Row]] = {}
    for row in rows:
        whole = None if row["dense_steps"] is None else row["steps"] + row["dense_steps"]
        if row["budget"] == budget and (row["steps"] == steps if total is None else whole == total):
            results.setdefault(row["case"], []).append(row)
    return results


def _fairness(steps: int, dense_steps: int | None) -> list[str]:
    if dense_steps is None:
        return [f"Every case has {steps:,} steps; how many the training of the dense network took is not known."]
    return f"""*{steps:,} steps*: every case has as many for pruning and training, and those that need the dense network
have its training of {dense_steps:,} steps before, which the others do without. *In all*: the others have these steps
as well, so that nobody was trained for longer than another, though a step of a small network takes less time.
""".splitlines()


def _table(columns: dict[str, dict[str, list[Row]]], part: str) -> list[str]:
    """The best of the first column first."""
    first = next(iter(columns.values()))
    lines = ["| | needs dense | " + " | ".join(columns) + " | MACs | s |", "|---|---|" + "---:|" * (len(columns) + 2)]
    for name in sorted(first, key=lambda name: -statistics.mean(_accuracies(first, name, part))):
        cells = [_against_baseline(item, name, part) for item in columns.values()]
        macs = 100 * statistics.mean(row["macs_share"] for row in first[name])
        seconds = statistics.mean(row["cpu_seconds"] for row in first[name])
        needs = "no" if first[name][0]["dense_steps"] == 0 else "yes"
        lines.append(f"| {_shown(name)} | {needs} | {' | '.join(cells)} | {macs:.1f} | {seconds:.0f} |")
    return lines


def _verdicts(columns: dict[str, dict[str, list[Row]]], part: str) -> list[str]:
    """Which cases do not beat the baseline, one line a column."""
    lines = []
    for title, item in columns.items():
        rivals = [name for name in item if name != BASELINE]
        if BASELINE not in item or not rivals:
            continue
        leads = {name: _lead(item, name, part) for name in rivals}
        behind = [f"{_shown(name)} ({lead:+.2f})" for name, (lead, _) in leads.items() if lead <= 0]
        unsure = [_shown(name) for name, (lead, error) in leads.items() if 0 < lead < 2 * error]
        messages = [f"{len(rivals) - len(behind)} of {len(rivals)} are better than {_shown(BASELINE)}"]
        messages += [f"not better: {', '.join(behind)}"] * bool(behind)
        messages += [f"better by less than two standard errors: {', '.join(unsure)}"] * bool(unsure)
        lines.append(f"- {title}: {'; '.join(messages)}.")
    return lines


def _lead(result: dict[str, list[Row]], name: str, part: str) -> tuple[float, float]:
    """By how much ``name`` is better than the baseline, and the standard error of that; NaN with a single seed."""
    both = [_accuracies(result, one, part) for one in (name, BASELINE)]
    error = math.sqrt(sum(statistics.variance(one) / len(one) if len(one) > 1 else math.nan for one in both))
    return statistics.mean(both[0]) - statistics.mean(both[1]), error


def _against_baseline(result: dict[str, list[Row]], name: str, part: str) -> str:
    if name not in result:
        return "-"
    rival = statistics.mean(_accuracies(result, BASELINE, part)) if BASELINE in result else None
    return cell(_accuracies(result, name, part), rival)


def _accuracies(result: dict[str, list[Row]], name: str, part: str) -> list[float]:
    return [100 * row[part] for row in result[name]]


def _shown(name: str) -> str:
    schedule, *options = name.split(" ")
    return " ".join([f"`{schedule}`", *options])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="digits")
    parser.add_argument("--cases", nargs="+", default=[], metavar="GLOB", help="names, default: none, report only")
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.1], help="shares of the dense MACs (0.1)")
    parser.add_argument("--epochs", type=int, help="of every schedule; default: as the recipe says")
    parser.add_argument(
        "--steps", type=int, help="a try, with a journal of its own: so many batches an epoch, and as many of each part"
    )
    add_arguments(parser)
    arguments = parser.parse_args()
    for pattern in arguments.cases:
        if not any(fnmatchcase(name, pattern) for name in cases()):
            parser.error(f"--cases: no case is called {pattern!r}; there are {', '.join(cases())}")
    return arguments


if __name__ == "__main__":
    main()
