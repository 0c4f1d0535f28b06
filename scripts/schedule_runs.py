"""What the benches of training share: one network pruned and trained, the journal of what came out, cells of tables."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgeprune import __version__
from edgeprune.config import Recipe, Target
from edgeprune.devices import Local
from edgeprune.model import data
from edgeprune.model.batches import Batch
from edgeprune.model.data import Data
from edgeprune.model.splits import Split
from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.build_settings import BuildSettings
from edgeprune.pipeline.results.pruning_results import PlanResult, TrainResult
from edgeprune.pipeline.stage import Results, Stage, StageDir
from edgeprune.pipeline.stages import (
    compare_candidates,
    finetune_pruned,
    plan_costs,
    prune_while_training,
    score_units,
    select_units,
)
from edgeprune.progress import SILENT
from edgeprune.training import evaluate
from scripts.page import processor

PARTS = ("validation", "test")

Row = dict[str, Any]

_STAGES: tuple[Stage[Any], ...] = (
    compare_candidates.STAGE,
    score_units.STAGE,
    select_units.STAGE,
    finetune_pruned.STAGE,
    prune_while_training.STAGE,
    plan_costs.STAGE,
)


def load_data(recipe: Recipe) -> Data:
    """The splits of ``recipe``."""
    return data.load(recipe.data.function, base=recipe.folder, folder=recipe.data_dir)


def run(recipe: Recipe, splits: Data) -> Row:
    """Prune and train as ``recipe`` says, with as many channels as fit, and look at the last epoch.

    Gives accuracies by part, the share of the dense MACs that is left, and the seconds of pruning and training: by the
    clock, and of this process, where other programs beside count for nothing.
    """
    recipe = recipe.override({"prune.align": 1, "training.keep": "last"})
    context = BuildContext(BuildSettings(recipe, Target.load("host"), Path(), Local()))
    context.data = splits
    results = Results()
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter(), time.process_time()
        for stage in _STAGES:
            if not stage.is_needed(results):
                continue
            stage_dir = StageDir(Path(folder) / stage.name, Path(folder) / f"{stage.name}-keep", SILENT)
            stage_dir.out.mkdir()
            stage_dir.keep.mkdir()
            results.add(stage(context, stage_dir, results))
        seconds, own = (now - then for now, then in zip((time.perf_counter(), time.process_time()), begin, strict=True))
        plan = results[PlanResult]
        model = context.pruned(plan, results[TrainResult])
    return {
        **accuracies(model, splits),
        "macs_share": plan.after["macs"] / plan.before["macs"],
        "seconds": round(seconds, 1),
        "cpu_seconds": round(own, 1),
    }


def accuracies(model: nn.Module, splits: Data) -> Row:
    """By part, 0 to 1."""
    return {part: evaluate(model, split).accuracy for part, split in splits.splits().items() if part in PARTS}


class Journal:
    """Rows as JSON lines, for a bench that can be stopped and goes on.

    Args:
        paths: Files. New rows are appended to the first, the others are only read.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._own = paths[0]
        self.rows = [json.loads(line) for path in paths for line in whole_lines(path, mend=path == self._own)]

    def fill(self, key: Row, work: Callable[[Row], Row]) -> None:
        """Add what ``work`` gives for ``key``, unless there is a row of it; accuracies on the test part stay hidden."""
        if any(key.items() <= row.items() for row in self.rows):
            return
        row = {**key, **work(key), "machine": machine()}
        self.rows.append(row)
        with self._own.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(unhidden(row)), file=sys.stderr, flush=True)


def whole_lines(path: Path, *, mend: bool) -> list[str]:
    """The lines of a journal, none where there is no file; ``mend`` drops one that a stopped run cut off, for good."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    if mend and text != whole:
        path.write_text(whole, encoding="utf-8")
    return whole.splitlines()


@dataclass(frozen=True)
class First:
    """The first ``images`` of ``split``, rounded up to whole batches."""

    split: Split
    images: int

    def __len__(self) -> int:
        return min(self.images, len(self.split))

    def batches(
        self, size: int, *, rng_key: tuple[int, ...] | None = None, start: int = 0, augment: bool = True
    ) -> Iterator[Batch]:
        batches = self.split.batches(size, rng_key=rng_key, start=start, augment=augment)
        return islice(batches, -(-len(self) // size) - start)


def cell(values: Iterable[float], rival: float | None) -> str:
    """Mean and standard deviation, and the distance of the mean to that of a ``rival``."""
    results = list(values)
    mean = statistics.mean(results)
    spread = f" ±{statistics.stdev(results):.2f}" if len(results) > 1 else ""
    return f"{mean:.2f}{spread}" + ("" if rival is None else f" ({mean - rival:+.2f})")


def machine() -> str:
    """What figures are made with."""
    threads = torch.get_num_threads()
    return f"EdgePrune {__version__}, torch {torch.__version__}, {processor()}, {threads} thread{'s' * (threads > 1)}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of every bench that trains."""
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--journal", type=Path, action="append", required=True, help="of results; may be given again")
    parser.add_argument("--reveal-test", action="store_true", help="report the test part: once, when all is chosen")
    parser.add_argument("--write", type=Path, help="put the report into this page")


def unhidden(row: Mapping[str, Any]) -> Row:
    """``row`` without what is not to be looked at while choices are made."""
    return {key: value for key, value in row.items() if key != "test"}
