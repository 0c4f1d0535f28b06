#!/usr/bin/env python3
"""Accuracy, arena, flash and latency for every microcontroller, as Markdown.

    python scripts/bench_microcontrollers.py
    python scripts/bench_microcontrollers.py --recipes digits cifar10-resnet8 --epochs 1 --journal runs.jsonl
    python scripts/bench_microcontrollers.py --recipes cifar10-resnet8 --budgets macs=1,arena_bytes=44KiB

`dense`, `pruned` (PyTorch) and `int8` (LiteRT) are accuracies on the whole reported split, `on TFLM` those of TFLite
Micro and of LiteRT on its first samples. Arena, flash and latency are estimates, see docs/microcontrollers.md. Stages
are cached (--cache): boards on which a network fits alike share what was trained. With --journal a row is written down
when it is there, and not made again by a later run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from edgeprune import __version__  # noqa: E402
from edgeprune.bundle.manifest import Manifest  # noqa: E402
from edgeprune.bundle.microcontroller_report import LatencyEstimate  # noqa: E402
from edgeprune.config import Recipe, Target  # noqa: E402
from edgeprune.errors import EdgePruneError  # noqa: E402
from edgeprune.pipeline import build  # noqa: E402
from edgeprune.report.microcontroller_notes import notes  # noqa: E402
from scripts.page import processor, write_between  # noqa: E402

COLUMNS = (
    "board", "dense", "pruned", "int8", "on TFLM (LiteRT), samples", "steps", "arena kB of", "file kB", "flash kB of",
    "ms (band)",
)  # fmt: skip


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(1)
    boards = [target for target in map(Target.load, arguments.boards or Target.names()) if target.limits]
    available = _read(arguments.journal)
    sections = []
    for name in arguments.recipes:
        for budget in arguments.budgets:
            rows: list[str] = []
            peaks: dict[str, None] = {}
            for target in boards:
                key = f"{name} {target.name} {arguments.epochs} {budget}"
                if key not in available:
                    available[key] = _built(name, target, budget, arguments)
                    _write(arguments.journal, key, available[key])
                rows.append(" | ".join(available[key]["row"]))
                peaks[available[key]["peaks"]] = None
                print(rows[-1], file=sys.stderr, flush=True)
            head = f"**{name}**{f', {budget}' if budget else ''}, epochs of fine-tuning: {arguments.epochs or 'all'}"
            table = [" | ".join(COLUMNS), "|".join("---" for _ in COLUMNS), *rows]
            sections.append("\n".join([head, "", *(f"| {line} |" for line in table), "", *peaks]))
    text = "\n\n".join([f"EdgePrune {__version__}, torch {torch.__version__}, {processor()}.", *sections])
    print(text)
    if arguments.write:
        write_between(arguments.write, "microcontrollers", "Accuracy, memory and latency per board", text)


def _built(name: str, target: Target, budget: str, arguments: argparse.Namespace) -> dict[str, Any]:
    recipe = Recipe.load(name)
    settings: dict[str, Any] = {} if arguments.epochs is None else {"training.epochs": arguments.epochs}
    for value in filter(None, budget.split(",")):
        cost, _, limit = value.partition("=")
        settings[f"budget.{cost}"] = float(limit) if limit.replace(".", "").isdigit() else limit
    with tempfile.TemporaryDirectory() as output:
        try:
            result = build(recipe.override(settings), target, output=output, cache=arguments.cache)
        except EdgePruneError as problem:
            return {"row": [target.name, str(problem), *[""] * (len(COLUMNS) - 2)], "peaks": ""}
    return {
        "row": _row(result.manifest, target),
        "peaks": "\n".join(f"- {line}" for line in notes(result.manifest) if line.startswith("The arena's peak")),
    }


def _row(manifest: Manifest, target: Target) -> list[str]:
    board, metrics = manifest.microcontroller, manifest.metrics
    assert board is not None
    assert board.agreement is not None
    result, latency = board.agreement, board.latency
    accuracies = (metrics.dense.accuracy, metrics.pruned.accuracy, metrics.shipped.accuracy)
    return [
        target.name,
        *(_percent(accuracy) for accuracy in accuracies),
        f"{_percent(result.accuracy)} ({_percent(result.litert_accuracy)}), {result.samples}",
        str(result.worst_steps),
        f"{board.shipped.arena.arena_bytes / 1e3:.1f} of {board.limits['arena_bytes'] / 1e3:.0f}",
        f"{board.shipped.flash.file_bytes / 1e3:.0f}",
        f"{board.shipped.flash.flash_bytes / 1e3:.0f} of {board.limits['flash_bytes'] / 1e3:.0f}",
        _band(latency),
    ]


def _band(latency: LatencyEstimate) -> str:
    if latency.low_ms is None or latency.high_ms is None:
        return _ms(latency.latency_ms)
    return f"{_ms(latency.latency_ms)} ({_ms(latency.low_ms)} to {_ms(latency.high_ms)})"


def _ms(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.2%}"


def _read(journal: Path | None) -> dict[str, Any]:
    if journal is None or not journal.is_file():
        return {}
    return {entry["key"]: entry for entry in map(json.loads, journal.read_text(encoding="utf-8").splitlines())}


def _write(journal: Path | None, key: str, entry: dict[str, Any]) -> None:
    if journal is not None:
        with open(journal, "a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, **entry}) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=["digits"])
    parser.add_argument("--boards", nargs="+", help="default: all")
    parser.add_argument(
        "--budgets", nargs="+", default=[""], metavar="COST=LIMIT", help="each in turn, over the recipe's; with commas"
    )
    parser.add_argument("--epochs", type=int, help="of fine-tuning; default: the recipe's")
    parser.add_argument("--cache", type=Path, default=Path(".edgeprune"))
    parser.add_argument("--journal", type=Path, help="rows that are there already")
    parser.add_argument("--write", type=Path, help="put the report into this page")
    return parser.parse_args()


if __name__ == "__main__":
    main()
