"""How well each criterion ranks units: Spearman's rank correlation with what removing each unit alone really costs.

    python scripts/bench_criteria.py --rows criteria.jsonl --write docs/selection.md
    python scripts/bench_criteria.py digits --images 359 --samples 512

The oracle: the change of the mean cross entropy over validation images when one unit is zeroed where it is consumed,
and nothing is repaired. Criteria score training images, not augmented. The journal (--rows) holds the oracle, one line
a unit and batch; what it has is not computed again. Each batch is the same however many are asked for.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
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
from edgeprune.files import write_atomic  # noqa: E402
from edgeprune.graph import Units, capture, units_of  # noqa: E402
from edgeprune.graph.consuming import Consuming  # noqa: E402
from edgeprune.graph.coupling import Consumption  # noqa: E402
from edgeprune.graph.operators import mutates  # noqa: E402
from edgeprune.model import data, network  # noqa: E402
from edgeprune.statistics import Samples  # noqa: E402

BATCH = 64
ORACLE_BATCH = 16
"""All values of the dense network stay in memory for a batch, best in the cache: 64 took 1.5 times as long an image."""
BEGIN, END = "<!-- criteria -->", "<!-- /criteria -->"
Row = dict[str, Any]


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    recipe = Recipe.load(arguments.recipe)
    model = network.load_model(recipe.model.factory, recipe.weights_path, base=recipe.folder, seed=recipe.seed)
    splits = data.load(recipe.data.function, base=recipe.folder, folder=recipe.data_dir)
    units = units_of(capture(model, network.example_inputs(recipe.model.input)))
    judged = Samples.of(splits.validation, count=arguments.images, batch_size=ORACLE_BATCH, seed=arguments.seed)
    change, images = oracle(units, judged, Journal(arguments.rows, _header(arguments, units)))

    samples = Samples.of(splits.train, count=arguments.samples, batch_size=BATCH, seed=arguments.seed)
    read = sum(len(labels) for *_, labels in samples)  # decoded now, so that no criterion is charged for it
    rows = []
    for name in arguments.criteria or registered():
        begin = time.perf_counter()
        scores = create(name, data=True).score(Network(model, units, arguments.seed, samples))
        seconds = time.perf_counter() - begin
        rows.append({"criterion": name, "seconds": seconds, **agreement(units, scores, change)})
        print(rows[-1], file=sys.stderr, flush=True)
    text = _report(rows, units, arguments, read, images)
    print(text)
    if arguments.write:
        _write(arguments.write, text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", default="cifar10-resnet56")
    parser.add_argument("--criteria", nargs="+", metavar="NAME", help="default: all")
    parser.add_argument("--images", type=int, default=256, help="validation images of the oracle")
    parser.add_argument("--samples", type=int, default=1024, help="training images that criteria look at")
    parser.add_argument("--seed", type=int, default=0, help="which images, and what random criteria draw")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", type=Path, help="journal of the oracle: what it has is not computed again")
    parser.add_argument("--write", type=Path, help=f"write the table there too, between {BEGIN} and {END}")
    return parser.parse_args()


def _header(arguments: argparse.Namespace, units: Units) -> Row:
    """What the lines of a journal are of."""
    return {"recipe": arguments.recipe, "seed": arguments.seed, "batch_size": ORACLE_BATCH, "units": len(units)}


class Journal:
    """Losses by batch and unit (-1: the dense network), appended to a file of JSON lines as they come."""

    def __init__(self, path: Path | None, header: Row) -> None:
        self.known: dict[tuple[int, int], float] = {}
        self._path = path
        # A line that was cut off when the run was stopped has no end.
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path and path.exists() else []
        whole = [json.loads(line) for line in lines if line.endswith("\n")]
        if whole and whole[0] != header:
            raise SystemExit(f"{path} is a journal of {whole[0]}, not of {header}: give another file")
        for row in whole[1:]:
            self.known[row["batch"], row["unit"]] = row["loss"]
        if path:
            path.write_text("".join(json.dumps(row) + "\n" for row in whole or [header]), encoding="utf-8")

    def add(self, batch: int, unit: int, loss: float) -> None:
        self.known[batch, unit] = loss
        if self._path:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"batch": batch, "unit": unit, "loss": loss}) + "\n")


class WithoutUnit(Consuming):
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

    def loss(self, unit: int, inputs: tuple[Any, ...], dense: dict[fx.Node, Any], labels: Tensor) -> float | None:
        """Mean loss without ``unit``; ``dense`` has all values of the dense run. None where nothing consumes it."""
        if unit not in self._first:
            return None
        self._unit = unit
        known = {node: dense[node] for node in self._nodes[: self._first[unit]]} if self._resumes else None
        return _loss(self, self.run(*inputs, initial_env=known, enable_io_processing=False), labels)


def oracle(units: Units, samples: Samples, journal: Journal) -> tuple[Tensor, int]:
    """The change of the mean loss as each unit goes alone, (units,), and over how many samples."""
    without = WithoutUnit(units)
    total, images = torch.zeros(len(units), dtype=torch.float64), 0
    for batch, (args, _, labels) in enumerate(samples):
        inputs = tuple(x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x for x in args)
        missing = [unit for unit in range(-1, len(units)) if (batch, unit) not in journal.known]
        with torch.no_grad():
            for unit, loss in _losses(without, missing, inputs, labels):
                journal.add(batch, unit, loss)
        losses = torch.tensor([journal.known[batch, unit] for unit in range(-1, len(units))], dtype=torch.float64)
        total += (losses[1:] - losses[0]) * len(labels)
        images += len(labels)
        print(f"oracle: {images} images", file=sys.stderr, flush=True)
    return total / images, images


def _losses(
    without: WithoutUnit, missing: list[int], inputs: tuple[Any, ...], labels: Tensor
) -> Iterator[tuple[int, float]]:
    if not missing:
        return
    run = fx.Interpreter(without.module, garbage_collect_values=False)
    dense = _loss(without, run.run(*inputs, enable_io_processing=False), labels)
    for unit in missing:
        loss = dense if unit < 0 else without.loss(unit, inputs, run.env, labels)
        yield unit, dense if loss is None else loss


def _loss(run: Consuming, flat: Any, labels: Tensor) -> float:
    outputs = run.units.coordinates.program.graph.process_outputs(flat)
    return float(functional.cross_entropy(outputs, labels))


def agreement(units: Units, scores: Tensor, change: Tensor) -> Row:
    """Rank correlation of ``scores`` with ``change``: over all units that may go, and within each group of them."""
    free = units.prunable
    groups = [slice(group.start, group.stop) for group in units.groups if group.frozen is None]
    within = [_rank_correlation(scores[group], change[group]) for group in groups]
    return {
        "global": _rank_correlation(scores[free], change[free]),
        "layer": float(np.mean(within)),
        "worst": min(within),
    }


def _rank_correlation(scores: Tensor, change: Tensor) -> float:
    """Spearman's; 0 where all are alike, for then nothing is ranked."""
    if len(scores.unique()) < 2 or len(change.unique()) < 2:
        return 0.0
    return float(spearmanr(scores.numpy(), change.numpy()).statistic)


def _report(rows: list[Row], units: Units, arguments: argparse.Namespace, samples: int, images: int) -> str:
    free = [group for group in units.groups if group.frozen is None]
    count = int(units.prunable.sum())
    lines = f"""`scripts/bench_criteria.py {arguments.recipe}`: Spearman's rank correlation of each criterion with the
change of the loss when one unit is removed alone, unrepaired. *layer* is the mean over {len(free)} groups, *worst* the
lowest of them, *global* over all {count:,} units at once. {images} validation images for the loss, {samples} training
images for criteria that look at data, seed {arguments.seed}. *s*: seconds of scoring, statistics included.

EdgePrune {__version__}, torch {torch.__version__}, scipy {scipy.__version__}, numpy {np.__version__}, Python
{platform.python_version()}, {_processor()}, {torch.get_num_threads()} threads.

| criterion | looks at | layer | worst | global | s |
|---|---|---:|---:|---:|---:|""".splitlines()
    known = registered()
    for row in sorted(rows, key=lambda row: -row["layer"]):
        name = row["criterion"]
        needs = known[name].needs if name in known else "own"
        cells = [
            f"`{name}`",
            needs,
            *(f"{row[key]:.2f}" for key in ("layer", "worst", "global")),
            f"{row['seconds']:.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _write(path: Path, text: str) -> None:
    """Put ``text`` between the markers of ``path``, at its end where there are none."""
    page = path.read_text(encoding="utf-8") if path.exists() else "# What to remove\n"
    if BEGIN not in page:
        page += f"\n## Criteria against the true change of the loss\n\n{BEGIN}\n{END}\n"
    marked = f"{BEGIN}\n{text}\n{END}"
    write_atomic(path, re.sub(f"{BEGIN}.*?{END}", lambda _: marked, page, count=1, flags=re.DOTALL))


def _processor() -> str:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return f"{len(names)} x {names[0].partition(':')[2].strip()}" if names else platform.machine()


if __name__ == "__main__":
    main()
