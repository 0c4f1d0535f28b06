"""The default build on six small tasks (``small_tasks.py``), next to Torch-Pruning 1.6.1 with the same training.

    python scripts/bench_tasks.py --journal docs/benchmarks/data/tasks.jsonl
    python scripts/bench_tasks.py --journal docs/benchmarks/data/tasks.jsonl --write docs/benchmarks/tasks.md

For each task and seed, a dense network is trained. ``edgeprune build`` prunes it with its defaults. Torch-Pruning
prunes the same network by the L2 norm, globally, until its MACs are within the same budget, followed by the training
that the build chose, also distillation if the build distilled. Accuracy is that of the test part. The
journal (JSON lines) makes the benchmark restartable: it does not repeat a task and seed that the journal holds.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from edgeprune import __version__  # noqa: E402
from edgeprune.config import TrainingSettings  # noqa: E402
from edgeprune.cost import cost_of  # noqa: E402
from edgeprune.graph import capture, units_of  # noqa: E402
from edgeprune.model import data, network  # noqa: E402
from edgeprune.model.data import Data  # noqa: E402
from edgeprune.training import Evaluator, Teacher, finetune  # noqa: E402
from scripts.page import processor, write_between  # noqa: E402
from scripts.small_tasks import TASKS, Task  # noqa: E402

Row = dict[str, Any]
_PEER_STEPS = 400
"""Steps in which Torch-Pruning goes from the dense network to an empty one."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--journal", type=Path, required=True, help="JSON lines to read and to append to")
    parser.add_argument("--work", type=Path, default=ROOT / ".scratch" / "tasks", help="folder of weights and caches")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="folder that has fsdd/")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--no-peer", action="store_true", help="leave Torch-Pruning out")
    parser.add_argument("--write", type=Path, help="page to write the table into; nothing is run")
    arguments = parser.parse_args()
    rows = _read(arguments.journal)
    if arguments.write:
        arguments.write.parent.mkdir(parents=True, exist_ok=True)
        write_between(arguments.write, "tasks", "Small tasks", _table(rows))
        return
    done = {(row["task"], row["seed"]) for row in rows}
    for seed in arguments.seeds:
        for name in arguments.tasks:
            if (name, seed) not in done:
                row = _run(
                    name,
                    seed,
                    arguments.work.resolve() / f"{name}-{seed}",
                    arguments.shared.resolve(),
                    peer=not arguments.no_peer,
                )
                print(json.dumps(row), flush=True)
                with arguments.journal.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")


def _run(name: str, seed: int, work: Path, shared: Path, *, peer: bool) -> Row:
    """Train a dense network, prune it with both tools, and return what the table needs."""
    task = TASKS[name]
    folder = None if task.folder is None else shared / task.folder
    work.mkdir(parents=True, exist_ok=True)
    splits = data.load(task.data, base=ROOT, folder=folder)
    weights = work / "dense.safetensors"
    if not weights.is_file():
        save_file(train_dense(task, splits, seed), weights)
    built = run_build(task, weights, folder, work, seed)
    metrics = built["manifest"]["metrics"]
    row = {
        "task": name,
        "seed": seed,
        "dense": metrics["dense"]["accuracy"],
        "edgeprune": metrics["pruned"]["accuracy"],
        "edgeprune_macs": metrics["pruned"]["macs"] / metrics["dense"]["macs"],
        "training": built["manifest"].get("training"),
        "candidates": built["manifest"].get("candidates"),
        "seconds": round(sum(stage["seconds"] for stage in built["stages"]), 1),
        "versions": {"edgeprune": __version__, "torch": torch.__version__},
        "machine": processor(),
    }
    return row | (_peer(task, splits, weights, built, seed) if peer else {})


def train_dense(task: Task, splits: Data, seed: int) -> dict[str, torch.Tensor]:
    """Weights of the dense network after AdamW with a one-cycle schedule, at the last epoch."""
    model = network.load_model(task.network, None, base=ROOT, seed=seed).train()
    batch = 64
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=1e-2)
    steps = task.epochs * -(-len(splits.train) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, task.lr, total_steps=steps + 1)
    for epoch in range(task.epochs):
        for inputs, labels in splits.train.batches(batch, rng_key=(seed, epoch)):
            functional.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    return model.state_dict()


def run_build(
    task: Task, weights: Path, folder: Path | None, work: Path, seed: int, *, options: Sequence[str] = ()
) -> dict[str, Any]:
    """Run ``edgeprune build --json`` and return what it prints; ``options`` replace defaults of the command line."""
    command = [
        sys.executable, "-m", "edgeprune", "build", "--json", "--target", "raspberry-pi-4",
        "--model", task.network, "--data", task.data, "--weights", str(weights),
        "--input", ",".join(map(str, task.shape)), "--budget", f"macs={task.budget}", "--seed", str(seed),
        "--output", str(work / "dist"), "--cache", str(work / "cache"),
    ]  # fmt: skip
    if folder is not None:
        command += ["--data-dir", str(folder)]
    if task.metric is not None:
        command += ["--set", f"training.metric={task.metric}"]
    command += options
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=work)
    if ended.returncode not in (0, 4) or not ended.stdout:
        raise RuntimeError(f"edgeprune build ended with {ended.returncode}: {ended.stderr}")
    result: dict[str, Any] = json.loads(ended.stdout)
    return result


def _peer(task: Task, splits: Data, weights: Path, built: dict[str, Any], seed: int) -> Row:
    """Accuracy and MACs of Torch-Pruning's network, with the training that the build chose."""
    dense = network.load_model(task.network, weights, base=ROOT, seed=seed)
    example = network.example_inputs(task.shape, seed)
    model = _pruned_by_peer(dense, example, task.budget)
    settings = TrainingSettings.model_validate(_chosen(built, task))
    teacher = (
        Teacher(dense, settings.distillation) if (built["manifest"].get("training") or {}).get("distilled") else None
    )
    with tempfile.TemporaryDirectory() as scratch:
        finetune(model, splits, settings, seed=seed, folder=Path(scratch), teacher=teacher, base=ROOT)
    judge = Evaluator(splits.test or splits.validation, settings, base=ROOT)
    return {"peer": judge(model).accuracy, "peer_macs": _macs(model, example) / _macs(dense, example)}


def _pruned_by_peer(dense: nn.Module, example: tuple[torch.Tensor, ...], budget: float) -> nn.Module:
    """The network after as few of Torch-Pruning's steps as bring its MACs within ``budget``."""
    import torch_pruning

    model = copy.deepcopy(dense)
    last = [layer for layer in model.modules() if isinstance(layer, (nn.Linear, nn.Conv2d))][-1]
    heads = {one: one.num_heads for one in model.modules() if isinstance(one, nn.MultiheadAttention)}
    pruner = torch_pruning.pruner.BasePruner(
        model,
        example[0],
        importance=torch_pruning.importance.MagnitudeImportance(p=2),
        global_pruning=True,
        pruning_ratio=1.0,
        max_pruning_ratio=1.0,
        iterative_steps=_PEER_STEPS,
        ignored_layers=[last],
        num_heads=heads,
    )
    limit = budget * _macs(dense, example)
    count = torch_pruning.utils.count_ops_and_params
    near = 1.25 * budget * count(dense, example[0])[0]
    for _ in range(_PEER_STEPS):
        pruner.step()
        # Torch-Pruning's count differs slightly and takes a fraction of the time.
        if count(model, example[0])[0] <= near and _macs(model, example) <= limit:
            return model
    raise RuntimeError("Torch-Pruning did not reach the budget")


def _macs(model: nn.Module, example: tuple[torch.Tensor, ...]) -> int:
    """MACs of one sample, counted in the same way for both tools."""
    return cost_of(units_of(capture(model, example)), model).macs


def _chosen(built: dict[str, Any], task: Task) -> dict[str, Any]:
    """The training settings of the build: those that it chose by itself, on top of the defaults."""
    chosen = built["manifest"].get("training") or {}
    own = {name: chosen[name] for name in ("optimizer", "epochs", "batch_size", "lr") if name in chosen}
    return own | ({} if task.metric is None else {"metric": task.metric})


def _table(rows: list[Row]) -> str:
    """The table of the page: means over the seeds, in percent, with the lowest and highest difference from dense."""
    lines = [
        "| task | seeds | MACs | dense | EdgePrune | difference | Torch-Pruning, L2 | its MACs | difference |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, task in TASKS.items():
        own = [row for row in rows if row["task"] == name]
        if not own:
            continue
        cells = [
            f"{100 * _mean(own, 'dense'):.2f}",
            f"{100 * _mean(own, 'edgeprune'):.2f}",
            _difference(own, "edgeprune"),
        ]
        peer = [row for row in own if "peer" in row]
        cells += (
            [f"{100 * _mean(peer, 'peer'):.2f}", f"{_mean(peer, 'peer_macs'):.3f}", _difference(peer, "peer")]
            if peer
            else ["", "", ""]
        )
        seeds = ", ".join(map(str, sorted(row["seed"] for row in own)))
        lines.append(f"| {task.title} | {seeds} | {_mean(own, 'edgeprune_macs'):.3f} | {' | '.join(cells)} |")
    versions = ", ".join(f"{name} {version}" for name, version in rows[-1]["versions"].items())
    note = (
        f"Test part, percent (U-Net: mean IoU); means of the seeds; differences in points, with range. "
        f"MACs are fractions of dense. {versions}, {rows[-1]['machine']}."
    )
    return "\n".join([*lines, "", note])


def _mean(rows: list[Row], name: str) -> float:
    return statistics.fmean(row[name] for row in rows)


def _difference(rows: list[Row], name: str) -> str:
    points = [100 * (row[name] - row["dense"]) for row in rows]
    mean, low, high = (
        round(value, 2) + 0.0 for value in (statistics.fmean(points), min(points), max(points))
    )  # no -0.00
    return f"{mean:+.2f} ({low:+.2f} to {high:+.2f})"


def _read(journal: Path) -> list[Row]:
    return [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()] if journal.is_file() else []


if __name__ == "__main__":
    main()
