"""What training gives back: the default pipeline on CIFAR-10 ResNet-56, and what each part of it adds.

    python scripts/bench_finetuning.py --cases default --budgets 0.5 0.33 --seeds 0 1 2 --journal tuned.jsonl
    python scripts/bench_finetuning.py --cases plain ema frozen --budgets 0.5 --journal tuned.jsonl
    python scripts/bench_finetuning.py --cases default --budgets 0.4 --epochs 10 --journal tuned.jsonl
    python scripts/bench_finetuning.py --journal tuned.jsonl --peers docs/data/selection.jsonl --write docs/schedules.md

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
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from edgeprune import __version__, criteria, schedules, select  # noqa: E402
from edgeprune.config import Budget, Recipe  # noqa: E402
from edgeprune.model import data, network  # noqa: E402
from edgeprune.repair import chosen_repairs, recalibrate  # noqa: E402
from edgeprune.schedules.running import train  # noqa: E402
from edgeprune.statistics import Samples  # noqa: E402
from edgeprune.training import Teacher, Trainer, evaluate, feature_layers  # noqa: E402
from scripts.page import processor, write_between  # noqa: E402

RECIPE = "cifar10-resnet56"
SAMPLES = 1024
PARTS = ("validation", "test")

# What differs from the recipe's training: its settings, besides `schedule`, `criterion` and `repair`.
_LABELS = {"distillation.weight": 0.0}
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
    "features-100-refitted": {"distillation.features": 100.0, "repair": _REFIT},
}
Row = dict[str, Any]


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    rows = _read(arguments.journal)
    for seed in arguments.seeds:
        for name in arguments.cases:
            for budget in arguments.budgets:
                key = {"case": name, "budget": budget, "epochs": arguments.epochs, "seed": seed}
                if any(key.items() <= row.items() for row in rows):
                    continue
                row = {**key, **run(name, budget, arguments.epochs, seed), "machine": _machine()}
                rows.append(row)
                with open(arguments.journal[0], "a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print({key: value for key, value in row.items() if key != "test"}, file=sys.stderr, flush=True)
    text = report(rows, _peers(arguments.peers), "test" if arguments.reveal_test else "validation")
    print(text)
    if arguments.write:
        write_between(arguments.write, f"finetuning {RECIPE}", "Fine-tuning: what each part adds", text)


def run(name: str, budget: float, epochs: int, seed: int) -> Row:
    """Prune and train once, and look at the last epoch."""
    changes = dict(CASES[name])
    schedule = schedules.create(changes.pop("schedule", "one_shot"))
    repairs = chosen_repairs(changes.pop("repair", "auto"), data=True, training=True)
    criterion = criteria.create(changes.pop("criterion", "auto"), data=True, training=True)
    selection = select.create("global", {"alpha": changes.pop("alpha")} if "alpha" in changes else {})
    settings = {"epochs": epochs, "keep": "last", "precision": "bfloat16", "channels_last": True, **changes}
    recipe = Recipe.load(RECIPE).override({f"training.{key}": value for key, value in settings.items()})
    dense, model = (network.load_model(recipe.model.factory, recipe.weights_path, base=recipe.folder) for _ in range(2))
    splits = data.load(recipe.data.function, base=recipe.folder, folder=recipe.data_dir)
    session = schedules.Session(
        model,
        network.example_inputs(recipe.model.input),
        Budget(macs=budget),
        schedules.Choice(criterion, selection, repairs),
        samples=Samples.of(splits.train, count=SAMPLES, batch_size=128, seed=seed),
        seed=seed,
    )
    groups = session.units.groups
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        teacher = None
        if Teacher.wanted(recipe.training):
            teacher = Teacher(dense, recipe.training.distillation, layers=feature_layers(groups, dense, model, {}))
        trainer = Trainer(model, splits, recipe.training, seed=seed, folder=Path(folder), teacher=teacher)

        def before(small: torch.nn.Module) -> None:
            if teacher is not None:
                teacher.compare(feature_layers(groups, dense, small, session.kept()))

        train(schedule, session, trainer, before=before)
    if recipe.training.batchnorm == "recalibrate":
        assert session.samples is not None
        recalibrate(session.model, session.samples)
    seconds = time.perf_counter() - begin
    plan = session.plan({})
    found = {part: evaluate(session.model, split).accuracy for part, split in splits.splits().items() if part in PARTS}
    return {**found, "macs_share": plan.after.macs / plan.before.macs, "seconds": round(seconds, 1)}


def report(rows: Iterable[Row], peers: Iterable[Row], part: str) -> str:
    """Accuracies by case, mean over seeds, with the distance to Torch-Pruning's best at that budget."""
    found: dict[tuple[str, float, int], list[float]] = {}
    for row in [*rows, *peers]:
        found.setdefault((row["case"], row["budget"], row["epochs"]), []).append(100 * row[part])
    columns = sorted({(epochs, -budget) for _, budget, epochs in found})
    best = {
        (budget, epochs): max(
            (
                statistics.mean(values)
                for (case, *at), values in found.items()
                if at == [budget, epochs] and " " in case
            ),
            default=None,
        )
        for _, budget, epochs in found
    }
    head = [f"{-budget:.0%}, {epochs} epoch{'s' * (epochs > 1)}" for epochs, budget in columns]
    lines = ["| | " + " | ".join(head) + " |", "|---|" + "---:|" * len(columns)]
    for case in dict.fromkeys(case for case, *_ in found):
        cells = []
        for epochs, budget in columns:
            values = found.get((case, -budget, epochs))
            cells.append("-" if values is None else _cell(values, best[-budget, epochs]))
        lines.append(f"| {case if ' ' in case else f'`{case}`'} | " + " | ".join(cells) + " |")
    machines = ", ".join(sorted({row["machine"] for row in rows}))
    return "\n".join([f"Accuracy in % on the {part} part, last epoch. {machines}.", "", *lines])


def _cell(values: list[float], best: float | None) -> str:
    mean = statistics.mean(values)
    spread = f" ±{statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{mean:.2f}{spread}" + ("" if best is None else f" ({mean - best:+.2f})")


def _read(journals: Iterable[Path]) -> list[Row]:
    lines = [line for path in journals if path.exists() for line in path.read_text(encoding="utf-8").splitlines()]
    return [json.loads(line) for line in lines]


def _peers(journals: Iterable[Path]) -> list[Row]:
    """Torch-Pruning's rows of bench_selection.py that were fine-tuned, which was for one epoch; each once."""
    rows = {}
    for row in _read(journals):
        if row.get("tool") == "torch-pruning" and "finetuned" in row["validation"]:
            found = {part: row[part]["finetuned"] for part in PARTS}
            case = f"Torch-Pruning `{row['method']}`"
            rows[case, row["budget"], row["seed"]] = {"case": case, "budget": row["budget"], "epochs": 1, **found}
    return list(rows.values())


def _machine() -> str:
    threads = torch.get_num_threads()
    return f"EdgePrune {__version__}, torch {torch.__version__}, {processor()}, {threads} thread{'s' * (threads > 1)}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=[], help="default: none, report only")
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.5], help="shares of the dense MACs (0.5)")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--journal", type=Path, action="append", required=True, help="of results; may be given again")
    parser.add_argument("--peers", type=Path, action="append", default=[], help="journal of bench_selection.py")
    parser.add_argument("--reveal-test", action="store_true", help="report the test part: once, when all is chosen")
    parser.add_argument("--write", type=Path, help="put the report into this page")
    return parser.parse_args()


if __name__ == "__main__":
    main()
