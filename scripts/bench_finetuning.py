"""What training gives back: the default pipeline on CIFAR-10 ResNet-56, and what each part of it adds.

    python scripts/bench_finetuning.py --cases default --budgets 0.5 0.33 --seeds 0 1 2 --journal tuned.jsonl
    python scripts/bench_finetuning.py --cases plain ema frozen --budgets 0.5 --journal tuned.jsonl
    python scripts/bench_finetuning.py --cases default --budgets 0.4 --epochs 10 --journal tuned.jsonl
    python scripts/bench_finetuning.py --journal tuned.jsonl --peers docs/benchmarks/data/selection.jsonl \\
        --write docs/benchmarks/finetuning.md

A case is one way to prune and train, at a share of the dense MACs, for so many epochs, with one seed: that of the
images for scoring and repair, and of the order of training. Accuracies are those of the last epoch, never of the best.
``--peers`` are journals of bench_selection.py: Torch-Pruning's networks after one epoch of a plain loop, with the same
data, batch size and learning rate.

The journal (JSON lines) makes it restartable: what any --journal has is not run again, what is new goes to the first.
Accuracies on the test part are in the journal, and stay hidden until --reveal-test: choices are made on validation.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterable
from functools import cache, partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from edgeprune.config import Recipe  # noqa: E402
from scripts.page import write_between  # noqa: E402
from scripts.schedule_runs import PARTS, Journal, Row, add_arguments, cell, load_data, run, whole_lines  # noqa: E402

RECIPE = "cifar10-resnet56"

# What differs from the recipe: settings of its training, and these of other tables.
_ELSEWHERE = {
    "criterion": "prune.criterion",
    "repair": "prune.repair",
    "alpha": "prune.selection_options.alpha",
}
_LABELS = {"distillation.weight": 0.0, "distillation.features": 0.0}
_ANSWERS = {"distillation.features": 0.0}
_REFIT = ("constants", "least_squares")
CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "plain": {**_LABELS},
    "smoothed": {**_LABELS, "label_smoothing": 0.1},
    # The dense network's answers, without what its layers say; and one thing changed of that.
    "distilled": {**_ANSWERS},
    "distilled-t2": {**_ANSWERS, "distillation.temperature": 2.0},
    "distilled-whole": {**_ANSWERS, "distillation.weight": 1.0},
    "ema": {**_ANSWERS, "ema": 0.995},
    "fast": {**_ANSWERS, "lr": 0.05},
    "frozen": {**_ANSWERS, "batchnorm": "freeze"},
    "recalibrated": {**_ANSWERS, "batchnorm": "recalibrate"},
    "refitted": {**_ANSWERS, "repair": _REFIT},
    "refitted-fisher": {**_ANSWERS, "repair": _REFIT, "criterion": "fisher"},
    "half-alpha": {**_ANSWERS, "alpha": 0.5},
    # Both, by the weight of the layers; the recipe has 20.
    "features": {"distillation.features": 1.0},
    "features-5": {"distillation.features": 5.0},
    "features-100": {"distillation.features": 100.0},
    "features-fast": {"lr": 0.05},
    "features-100-refitted": {"distillation.features": 100.0, "repair": _REFIT},
}


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    journal = Journal(arguments.journal)
    splits = cache(partial(load_data, Recipe.load(RECIPE)))
    for seed in arguments.seeds:
        for name in arguments.cases:
            for budget in arguments.budgets:
                key = {"case": name, "budget": budget, "epochs": arguments.epochs, "seed": seed}
                journal.fill(key, lambda key: run(recipe_of(**key), splits()))
    parts = PARTS if arguments.reveal_test else PARTS[:1]
    text = "\n\n".join(report(journal.rows, _peers(arguments.peers), part) for part in parts)
    print(text)
    if arguments.write:
        write_between(arguments.write, f"finetuning {RECIPE}", "Fine-tuning: what each part adds", text)


def recipe_of(case: str, budget: float, epochs: int, seed: int) -> Recipe:
    """What ``case`` prunes and trains."""
    settings = {"epochs": epochs, "precision": "bfloat16", "channels_last": True, **CASES[case]}
    overrides = {_ELSEWHERE.get(key, f"training.{key}"): value for key, value in settings.items()}
    return Recipe.load(RECIPE).override({**overrides, "budget.macs": budget, "seed": seed})


def report(rows: Iterable[Row], peers: Iterable[Row], part: str) -> str:
    """Accuracies by case, mean over seeds, with the distance to Torch-Pruning's best at that budget."""
    results: dict[tuple[str, float, int], list[float]] = {}
    for row in [*rows, *peers]:
        results.setdefault((row["case"], row["budget"], row["epochs"]), []).append(100 * row[part])
    columns = sorted({(epochs, -budget) for _, budget, epochs in results})
    best = {
        (budget, epochs): max(
            (
                statistics.mean(values)
                for (case, *at), values in results.items()
                if at == [budget, epochs] and " " in case
            ),
            default=None,
        )
        for _, budget, epochs in results
    }
    head = [f"{-budget:.0%}, {epochs} epoch{'s' * (epochs > 1)}" for epochs, budget in columns]
    lines = ["| | " + " | ".join(head) + " |", "|---|" + "---:|" * len(columns)]
    for case in dict.fromkeys(case for case, *_ in results):
        cells = []
        for epochs, budget in columns:
            values = results.get((case, -budget, epochs))
            cells.append("-" if values is None else cell(values, best[-budget, epochs]))
        lines.append(f"| {case if ' ' in case else f'`{case}`'} | " + " | ".join(cells) + " |")
    machines = ", ".join(sorted({row["machine"] for row in rows}))
    return "\n".join([f"Accuracy in % on the {part} part, last epoch. {machines}.", "", *lines])


def _peers(journals: Iterable[Path]) -> list[Row]:
    """Torch-Pruning's rows of bench_selection.py that were fine-tuned, which was for one epoch; each once."""
    rows = {}
    for line in (line for path in journals for line in whole_lines(path, mend=False)):
        row = json.loads(line)
        if row.get("tool") == "torch-pruning" and "finetuned" in row["validation"]:
            results = {part: row[part]["finetuned"] for part in PARTS}
            case = f"Torch-Pruning `{row['method']}`"
            rows[case, row["budget"], row["seed"]] = {"case": case, "budget": row["budget"], "epochs": 1, **results}
    return list(rows.values())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=[], help="default: none, report only")
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.5], help="shares of the dense MACs (0.5)")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--peers", type=Path, action="append", default=[], help="journal of bench_selection.py")
    add_arguments(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
