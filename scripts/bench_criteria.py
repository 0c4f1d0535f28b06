"""How well each criterion ranks units: Spearman's rank correlation with what removing each unit alone really costs.

    python scripts/bench_criteria.py --rows criteria.jsonl --write docs/benchmarks/criteria.md
    python scripts/bench_criteria.py digits --images 359 --samples 512

The oracle: the change of the mean cross entropy over validation images when one unit is zeroed where it is consumed,
and nothing is repaired; once against the labels, once against what the dense network answers (the Kullback-Leibler
divergence from it, which is that change if labels are drawn from its answers). Against labels the change of a few
hundred images is mostly luck: images that were wrong get better. So the table says how far the oracle agrees with
itself, half of the images against the other half.

Criteria score training images, not augmented. The journal (--rows) holds the oracle, one line a unit and batch; what it
has is not computed again. Each batch is the same however many are asked for.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import scipy  # noqa: E402
import torch  # noqa: E402
from scipy.stats import spearmanr  # noqa: E402
from torch import Tensor, fx  # noqa: E402
from torch.nn import functional  # noqa: E402

from edgeprune import __version__  # noqa: E402
from edgeprune.config import Recipe  # noqa: E402
from edgeprune.criteria import Network, create, registered  # noqa: E402
from edgeprune.graph import Units, capture, units_of  # noqa: E402
from edgeprune.graph.consumer_interpreter import ConsumerInterpreter  # noqa: E402
from edgeprune.graph.coupling import Consumption  # noqa: E402
from edgeprune.graph.graph_operators import mutates  # noqa: E402
from edgeprune.model import data, network  # noqa: E402
from edgeprune.statistics import Samples  # noqa: E402
from scripts.page import processor, write_between  # noqa: E402

BATCH = 64
ORACLE_BATCH = 16
"""All values of the dense network stay in memory for a batch, best in the cache: 64 took 1.5 times as long an image."""
HALVES = "oracle, half of the images"
Row = dict[str, Any]


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    recipe = Recipe.load(arguments.recipe)
    model = network.load_model(recipe.model.factory, recipe.weights_path, base=recipe.folder, seed=recipe.seed)
    splits = data.load(recipe.data.function, base=recipe.folder, folder=recipe.data_dir)
    units = units_of(capture(model, network.example_inputs(recipe.model.input)))
    judged = Samples.of(splits.validation, count=arguments.images, batch_size=ORACLE_BATCH, seed=arguments.seed)
    changes = oracle(units, judged, Journal(arguments.rows, _header(arguments, units)))

    samples = Samples.of(splits.train, count=arguments.samples, batch_size=BATCH, seed=arguments.seed)
    read = sum(len(labels) for *_, labels in samples)  # decoded now, so that no criterion is charged for it
    rows = [{"criterion": HALVES, "seconds": 0.0, **_halves(units, changes)}]
    for name in arguments.criteria or registered():
        begin = time.perf_counter()
        scores = create(name, data=True).score(Network(model, units, arguments.seed, samples))
        seconds = time.perf_counter() - begin
        rows.append({"criterion": name, "seconds": seconds, **agreement(units, scores, changes.mean(0))})
        print(rows[-1], file=sys.stderr, flush=True)
    text = _report(rows, units, arguments, read, len(changes) * ORACLE_BATCH)
    print(text)
    if arguments.write:
        heading = f"Criteria against the true change of the loss: {arguments.recipe}"
        write_between(arguments.write, f"criteria {arguments.recipe}", heading, text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", default="cifar10-resnet56")
    parser.add_argument("--criteria", nargs="+", metavar="NAME", help="default: all")
    parser.add_argument("--images", type=int, default=256, help="validation images of the oracle")
    parser.add_argument("--samples", type=int, default=1024, help="training images that criteria look at")
    parser.add_argument("--seed", type=int, default=0, help="which images, and what random criteria draw")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", type=Path, help="journal of the oracle: what it has is not computed again")
    parser.add_argument("--write", type=Path, help="write the table there too, between markers of the recipe")
    return parser.parse_args()


def _header(arguments: argparse.Namespace, units: Units) -> Row:
    """What the lines of a journal are of."""
    return {"recipe": arguments.recipe, "seed": arguments.seed, "batch_size": ORACLE_BATCH, "units": len(units)}


class Journal:
    """Changes of the loss by batch and unit, appended to a file of JSON lines as they come."""

    def __init__(self, path: Path | None, header: Row) -> None:
        self.known: dict[tuple[int, int], tuple[float, float]] = {}
        self._path = path
        # A line that was cut off when the run was stopped has no end.
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path and path.exists() else []
        whole = [json.loads(line) for line in lines if line.endswith("\n")]
        if whole and whole[0] != header:
            raise SystemExit(f"{path} is a journal of {whole[0]}, not of {header}: give another file")
        for row in whole[1:]:
            self.known[row["batch"], row["unit"]] = row["labels"], row["answers"]
        if path:
            path.write_text("".join(json.dumps(row) + "\n" for row in whole or [header]), encoding="utf-8")

    def add(self, batch: int, unit: int, labels: float, answers: float) -> None:
        self.known[batch, unit] = labels, answers
        if self._path:
            row = {"batch": batch, "unit": unit, "labels": labels, "answers": answers}
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


class WithoutUnit(ConsumerInterpreter):
    """The dense program with one unit zero where it is consumed, run from the first call that consumes it."""

    def __init__(self, units: Units) -> None:
        super().__init__(units)
        self._indices: dict[int, dict[int, list[int]]] = {}
        self._first: dict[int, int] = {}
        self._nodes = list(units.coordinates.program.graph.nodes)
        for at, node in enumerate(self._nodes):
            for consumption in units.coordinates.coupling.consumed.get(node, ()):
                by_unit = self._indices.setdefault(id(consumption), {})
                for index, unit in enumerate(units.unit_of[consumption.ids].tolist()):
                    by_unit.setdefault(unit, []).append(index)
                    self._first.setdefault(unit, at)
        # What is changed in place later is not there any more to start from.
        self._resumes = not any(map(mutates, self._nodes))
        self._unit = -1

    def consume(self, _node: fx.Node, consumption: Consumption, value: Tensor) -> Tensor:
        indices = self._indices[id(consumption)].get(self._unit)
        return value if indices is None else value.index_fill(consumption.dim, torch.tensor(indices), 0)

    def logits(self, unit: int, inputs: tuple[Any, ...], dense: dict[fx.Node, Any]) -> Tensor:
        """What the network gives without ``unit``; ``dense`` has all values of the dense run."""
        self._unit = unit
        start = self._first.get(unit, len(self._nodes) - 1)
        available = {node: dense[node] for node in self._nodes[:start]} if self._resumes else None
        return _logits(self, self.run(*inputs, initial_env=available, enable_io_processing=False))


def oracle(units: Units, samples: Samples, journal: Journal) -> Tensor:
    """The change of the mean loss as each unit goes alone, (batches, units, 2): against labels, against answers."""
    without = WithoutUnit(units)
    batches = 0
    for batch, (args, _, labels) in enumerate(samples):
        missing = [unit for unit in range(len(units)) if (batch, unit) not in journal.known]
        with torch.no_grad():
            for unit, change in _changes(without, missing, args, labels):
                journal.add(batch, unit, *change)
        batches += 1
        print(f"oracle: {batches * ORACLE_BATCH} images", file=sys.stderr, flush=True)
    results = [[journal.known[batch, unit] for unit in range(len(units))] for batch in range(batches)]
    return torch.tensor(results, dtype=torch.float64)


def _changes(
    without: WithoutUnit, missing: list[int], inputs: tuple[Any, ...], labels: Tensor
) -> Iterator[tuple[int, tuple[float, float]]]:
    if not missing:
        return
    run = fx.Interpreter(without.module, garbage_collect_values=False)
    dense = _logits(without, run.run(*inputs, enable_io_processing=False)).log_softmax(1)
    for unit in missing:
        pruned = without.logits(unit, inputs, run.env).log_softmax(1)
        change = functional.nll_loss(pruned, labels) - functional.nll_loss(dense, labels)
        divergence = functional.kl_div(pruned, dense, log_target=True, reduction="batchmean")
        yield unit, (float(change), float(divergence))


def _logits(run: ConsumerInterpreter, flat: Any) -> Tensor:
    """(samples, classes) float64: changes are small beside the loss."""
    logits: Tensor = run.units.coordinates.program.graph.process_outputs(flat)
    return logits.double()


def agreement(units: Units, scores: Tensor, change: Tensor) -> Row:
    """Rank correlation of ``scores`` with both kinds of ``change``: of all units that may go, and within each group."""
    groups = [slice(group.start, group.stop) for group in units.groups if group.frozen is None]
    row = {}
    for kind, one in zip(("labels", "answers"), change.T, strict=True):
        row[f"{kind} layer"] = float(np.mean([_rank_correlation(scores[group], one[group]) for group in groups]))
        row[f"{kind} global"] = _rank_correlation(scores[units.prunable], one[units.prunable])
    return row


def _halves(units: Units, changes: Tensor) -> Row:
    """How far the oracle of every second batch agrees with that of the others."""
    even, odd = changes[::2].mean(0), changes[1::2].mean(0)
    own = [agreement(units, even[:, kind], odd) for kind in range(2)]
    return {key: own[0 if key.startswith("labels") else 1][key] for key in own[0]}


def _rank_correlation(scores: Tensor, change: Tensor) -> float:
    """Spearman's; 0 where all are alike, for then nothing is ranked."""
    if len(torch.unique(scores)) < 2 or len(torch.unique(change)) < 2:
        return 0.0
    return float(spearmanr(scores.numpy(), change.numpy()).statistic)


def _report(rows: list[Row], units: Units, arguments: argparse.Namespace, samples: int, images: int) -> str:
    free = [group for group in units.groups if group.frozen is None]
    count = int(units.prunable.sum())
    lines = f"""`scripts/bench_criteria.py {arguments.recipe}`: Spearman's rank correlation of each criterion with the
change of the loss when one unit is removed alone, unrepaired. *layer* is the mean over {len(free)} groups, *global*
over all {count:,} units at once; against the *answers* of the dense network (the divergence from them), and against the
*labels*, where there is more luck in it: the first line says how far one half of the {images} validation images ranks
units as the other half does. {samples} training images for criteria that look at data, seed {arguments.seed}. *s*:
seconds of scoring, statistics included.

EdgePrune {__version__}, torch {torch.__version__}, scipy {scipy.__version__}, numpy {np.__version__}, Python
{platform.python_version()}, {processor()}, {torch.get_num_threads()} threads.

| criterion | looks at | layer, answers | global, answers | layer, labels | global, labels | s |
|---|---|---:|---:|---:|---:|---:|""".splitlines()
    available = registered()
    for row in [rows[0], *sorted(rows[1:], key=lambda row: -row["answers layer"])]:
        name = row["criterion"]
        needs = "" if name == HALVES else available[name].needs if name in available else "own"
        output = name if name == HALVES else f"`{name}`"
        results = [f"{row[key]:.2f}" for key in ("answers layer", "answers global", "labels layer", "labels global")]
        lines.append("| " + " | ".join([output, needs, *results, f"{row['seconds']:.1f}"]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
