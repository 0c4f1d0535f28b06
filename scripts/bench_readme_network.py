"""README's own network on photographs, pruned to about half of its MACs in four ways.

    python scripts/bench_readme_network.py --write docs/benchmarks/tasks.md

The rows are ``edgeprune build`` with its defaults, with a budget of 0.501, with ``--criterion fisher``, and
``edgeprune.prune`` in Python without any training. Networks, data and parts are those of ``bench_tasks.py``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

import edgeprune as ep  # noqa: E402
from edgeprune.config import TrainingSettings  # noqa: E402
from edgeprune.model import data, network  # noqa: E402
from edgeprune.training import Evaluator  # noqa: E402
from scripts.bench_tasks import run_build, train_dense  # noqa: E402
from scripts.page import processor, write_between  # noqa: E402
from scripts.small_tasks import TASKS  # noqa: E402

_WAYS = {
    "`edgeprune build`, defaults": (),
    "`--budget macs=0.501`": ("--budget", "macs=0.501"),
    "`--criterion fisher`": ("--criterion", "fisher"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=ROOT / ".scratch" / "readme", help="folder of weights and caches")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path, help="page to write the table into; default: print it")
    arguments = parser.parse_args()
    task, work = TASKS["photos"], arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    splits = data.load(task.data, base=ROOT, folder=None)
    weights = work / f"dense-{arguments.seed}.safetensors"
    if not weights.is_file():
        save_file(train_dense(task, splits, arguments.seed), weights)
    rows: list[str] = []
    for name, options in _WAYS.items():
        metrics = run_build(task, weights, None, work, arguments.seed, options=options)["manifest"]["metrics"]
        if not rows:
            rows.append(f"| dense | 1.000 | {100 * metrics['dense']['accuracy']:.1f} |")
        fraction = metrics["pruned"]["macs"] / metrics["dense"]["macs"]
        rows.append(f"| {name} | {fraction:.3f} | {100 * metrics['pruned']['accuracy']:.1f} |")
        print(rows[-1], file=sys.stderr, flush=True)
    dense = network.load_model(task.network, weights, base=ROOT, seed=arguments.seed)
    example = network.example_inputs(task.shape, arguments.seed)
    batches = list(splits.train.batches(64))
    pruned = ep.prune(dense, example, budget={"macs": task.budget}, data=batches, options={"seed": arguments.seed})
    judge = Evaluator(splits.test or splits.validation, TrainingSettings(), base=ROOT)
    fraction = pruned.after.macs / pruned.before.macs
    accuracy = 100 * judge(pruned.model).accuracy
    rows.append(f"| `edgeprune.prune(..., data=batches)`, no training | {fraction:.3f} | {accuracy:.1f} |")
    note = (
        f"Test part, percent; seed {arguments.seed}; the budget is half of the MACs unless stated. "
        f"edgeprune {ep.__version__}, torch {torch.__version__}, {processor()}."
    )
    table = "\n".join(["| way | MACs | accuracy |", "|---|---:|---:|", *rows, "", note])
    if arguments.write:
        write_between(arguments.write, "readme-network", "README's network", table)
    else:
        print(table)


if __name__ == "__main__":
    main()
