"""Distillation with and without the features of BatchNorm layers, on data that is not the test part.

    python scripts/bench_distillation.py --journal docs/benchmarks/data/distillation.jsonl
    python scripts/bench_distillation.py --journal docs/benchmarks/data/distillation.jsonl \\
        --write docs/benchmarks/distillation.md

Each network of ``bench_tasks.py`` is pruned by the candidate plan that its build chose (``--plans``), repaired, and
trained with the defaults but for the weight of features. The accuracy is that of the last epoch, on the validation
part, and for the table and the U-Net also on samples that are drawn for this alone. The journal makes the benchmark
restartable.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from sklearn.datasets import make_classification  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.utils.data import ConcatDataset, Dataset  # noqa: E402

from edgeprune import __version__, graph, pruning, selection  # noqa: E402
from edgeprune.candidates import Candidate  # noqa: E402
from edgeprune.config import Budget, TrainingSettings  # noqa: E402
from edgeprune.criteria import Network, create  # noqa: E402
from edgeprune.graph.rewrite import rewrite  # noqa: E402
from edgeprune.model import data, network  # noqa: E402
from edgeprune.model.data import Data  # noqa: E402
from edgeprune.repair import Repair, chosen_repairs  # noqa: E402
from edgeprune.statistics import Samples  # noqa: E402
from edgeprune.training import Evaluator, Teacher, feature_layers, finetune  # noqa: E402
from scripts import small_tasks  # noqa: E402
from scripts.bench_tasks import train_dense  # noqa: E402
from scripts.page import processor, write_between  # noqa: E402
from scripts.small_tasks import TASKS, Task  # noqa: E402

Row = dict[str, Any]
_REPAIRS = chosen_repairs("auto", data=True)
FEATURES = 0.0, 1.0
"""Values of ``training.distillation.features``."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--journal", type=Path, required=True, help="JSON lines to read and to append to")
    parser.add_argument(
        "--plans",
        type=Path,
        default=ROOT / "docs/benchmarks/data/tasks-features.jsonl",
        help="journal of bench_tasks.py",
    )
    parser.add_argument("--work", type=Path, default=ROOT / ".scratch" / "distillation", help="folder of weights")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="folder that has fsdd/")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=["table", "digits", "shapes", "speech"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--write", type=Path, help="page to write the table into; nothing is run")
    arguments = parser.parse_args()
    rows = _read(arguments.journal)
    if arguments.write:
        write_between(arguments.write, "distillation", "Features", _table(rows))
        return
    plans = {(row["task"], row["seed"]): row["candidates"] for row in _read(arguments.plans)}
    done = {(row["task"], row["seed"], row["features"]) for row in rows}
    for name in arguments.tasks:
        for seed in (one for one in arguments.seeds if (name, one) in plans):
            missing = [features for features in FEATURES if (name, seed, features) not in done]
            chosen = next(plan for plan in plans[name, seed] if plan["chosen"])
            candidate = Candidate(chosen["criterion"], chosen["selection"], chosen["balance"], chosen["align"])
            for row in _rows(name, seed, candidate, missing, arguments) if missing else ():
                print(json.dumps(row), flush=True)
                with arguments.journal.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")


def _rows(
    name: str, seed: int, candidate: Candidate, weights_of_features: list[float], arguments: argparse.Namespace
) -> Iterator[Row]:
    """One row for each weight of features."""
    task = TASKS[name]
    splits = data.load(task.data, base=ROOT, folder=arguments.shared / task.folder if task.folder else None)
    arguments.work.mkdir(parents=True, exist_ok=True)
    weights = arguments.work / f"{name}-{seed}.safetensors"
    if not weights.is_file():
        save_file(train_dense(task, splits, seed), weights)
    dense = network.load_model(task.network, weights, base=ROOT, seed=seed)
    units = graph.units_of(graph.capture(dense, network.example_inputs(task.shape, seed)))
    samples = Samples(list(splits.train.batches(64)), functional.cross_entropy, 1024, seed)
    removed = _removed(task, Network(dense, units, seed, samples), candidate)
    values = _drawn(name)
    for features in weights_of_features:
        settings = TrainingSettings.model_validate(
            {"keep": "last", "distillation": {"features": features}} | ({"metric": task.metric} if task.metric else {})
        )
        rewritten = rewrite(dense, units, removed)
        Repair(_REPAIRS, units, removed, samples, seed=seed).apply(rewritten)
        layers = feature_layers(units.groups, dense, rewritten.model, rewritten.kept_indices)
        teacher = Teacher(dense, settings.distillation, layers=layers)
        with tempfile.TemporaryDirectory() as folder:
            history = finetune(
                rewritten.model, splits, settings, seed=seed, folder=Path(folder), teacher=teacher, base=ROOT
            )
        row = {
            "task": name,
            "seed": seed,
            "candidate": str(candidate),
            "features": features,
            "lr": None if history.hyperparameters is None else history.hyperparameters.lr,
            "dense_validation": Evaluator(splits.validation, settings, base=ROOT)(dense).accuracy,
            "validation": history.epochs[-1].validation_accuracy,
            "best_validation": max(epoch.validation_accuracy for epoch in history.epochs),
        }
        if values is not None:
            judge = Evaluator(values.validation, settings, base=ROOT)
            row |= {"dense_drawn": judge(dense).accuracy, "drawn": judge(rewritten.model).accuracy}
        yield row | {"versions": {"edgeprune": __version__, "torch": torch.__version__}, "machine": processor()}


def _removed(task: Task, inputs: Network, candidate: Candidate) -> torch.Tensor:
    """The mask of the units that ``candidate`` removes, (units,), as ``edgeprune.prune`` chooses them."""
    criterion = create(candidate.criterion, data=True)
    _, removed = pruning.choose(
        inputs.model,
        inputs.units,
        pruning.score(criterion, inputs, _REPAIRS),
        Budget.parse({"macs": task.budget}),
        selection.PlanMethod(
            criterion=criterion,
            selection=candidate.create_selection(),
            constraints=selection.prefer_alignment(inputs.units, selection.resolve(inputs.units), candidate.align),
            seed=inputs.seed,
        ),
        samples=inputs.data,
    )
    return removed


class _OtherRows(np.random.RandomState):
    """RandomState(0), but for other normal numbers: ``make_classification`` draws other rows of the same classes."""

    def __init__(self) -> None:
        super().__init__(0)
        self._other = np.random.RandomState(12345)

    def standard_normal(self, size: Any = None) -> Any:
        super().standard_normal(size)
        return self._other.standard_normal(size)


class _OtherShapes(torch.Generator):
    def manual_seed(self, seed: int) -> torch.Generator:
        return super().manual_seed(seed + 12345)


def _drawn(name: str) -> Data | None:
    """10,000 rows of the table or 1,000 images for the U-Net that no part of the task has; None for the other tasks."""
    if name == "table":

        def rows(*arguments: Any, **options: Any) -> Any:
            return make_classification(*arguments, **options | {"random_state": _OtherRows()})

        with mock.patch.object(small_tasks, "make_classification", rows):
            parts: list[Dataset[Any]] = list(small_tasks.table_data().values())
    elif name == "shapes":
        with mock.patch.object(torch, "Generator", _OtherShapes):
            parts = [torch.utils.data.Subset(small_tasks.shapes_data()["train"], range(1000))]
    else:
        return None
    samples: ConcatDataset[Any] = ConcatDataset(parts)
    return data.as_data({"train": samples, "validation": samples})


def _table(rows: list[Row]) -> str:
    """Means over the seeds in percent, by weight of features."""
    heads = [f"weight {features:g}" for features in FEATURES]
    lines = [
        f"| task | seeds | measured on | dense | {' | '.join(heads)} |",
        f"|---|---|---|---:|{'---:|' * len(FEATURES)}",
    ]
    for name, task in TASKS.items():
        for part, title in (("validation", "validation part"), ("drawn", "drawn anew")):
            own = [row for row in rows if row["task"] == name and part in row]
            if not own:
                continue
            cells = []
            for features in FEATURES:
                values = [100 * row[part] for row in own if row["features"] == features]
                spread = f" ({min(values):.2f} to {max(values):.2f})" if len(values) > 1 else ""
                cells.append(f"{statistics.fmean(values):.2f}{spread}" if values else "")
            dense = {row["seed"]: 100 * row[f"dense_{part}"] for row in own}
            seeds = ", ".join(map(str, sorted(dense)))
            mean = statistics.fmean(dense.values())
            lines.append(f"| {task.title} | {seeds} | {title} | {mean:.2f} | {' | '.join(cells)} |")
    versions = ", ".join(f"{name} {version}" for name, version in rows[-1]["versions"].items())
    note = f"Percent (U-Net: mean IoU), last epoch; means of the seeds, with range. {versions}, {rows[-1]['machine']}."
    return "\n".join([*lines, "", note])


def _read(journal: Path) -> list[Row]:
    return [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()] if journal.is_file() else []


if __name__ == "__main__":
    main()
