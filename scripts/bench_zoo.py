"""Prune every network of the zoo, with no annotations, and report what each later step makes of it.

    python scripts/bench_zoo.py                             # all networks, at 0.5 and 0.75 of their MACs
    python scripts/bench_zoo.py resnet50 swin_t --fraction 0.5
    python scripts/bench_zoo.py --family detection --rows zoo.jsonl
    python scripts/bench_zoo.py --against torch-pruning     # the same with Torch-Pruning 1.6.1 beside it (extra: bench)
    python scripts/bench_zoo.py --rows zoo.jsonl --write docs/benchmarks/zoo.md

Each network runs in its own process. The columns are explained on the page that is written (scripts/zoo_page.py).

Families: classifiers, detection, transformers, signals (tests/zoo). ``scripts/install dev`` installs what classifiers
and signals need, ``scripts/install dev,zoo`` the packages of all families: ultralytics, segmentation-models-pytorch and
transformers without their dependencies, which would replace torch. A network whose package is missing is skipped with a
message.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts.own_process import run_row  # noqa: E402
from tests.zoo.networks import FAMILIES, NAMES, missing_packages  # noqa: E402

LIMIT_S = 600


def main() -> None:
    arguments = _arguments()
    if arguments.one:
        print(json.dumps(_one(arguments.one, arguments.fraction[0], arguments)))
        return
    rows = _read(arguments.rows)
    for fraction in arguments.fraction:
        for name in _names(arguments):
            if arguments.report or (name, fraction) in {(row["network"], row["fraction"]) for row in rows}:
                continue
            if missing := missing_packages(name):
                print(f"{name} is skipped: {', '.join(missing)} is not installed", file=sys.stderr)
                continue
            row = {"network": name, "fraction": fraction, **_run(name, fraction, fast=arguments.fast)}
            if arguments.against:
                row["torch_pruning"] = _run(name, fraction, peer=True)
            rows.append(row)
            print(name, fraction, row.get("error", "done"), file=sys.stderr, flush=True)
            if arguments.rows:
                with arguments.rows.open("a", encoding="utf-8") as journal:
                    journal.write(json.dumps(row) + "\n")
    from scripts.zoo_network_row import CALIBRATION_SAMPLES
    from scripts.zoo_page import page

    order = {name: index for index, name in enumerate(NAMES)}
    rows.sort(key=lambda row: order[row["network"]])
    text = page(rows, command="python scripts/bench_zoo.py", samples=CALIBRATION_SAMPLES)
    print(text)
    if arguments.write:
        arguments.write.write_text(text + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *NAMES], metavar="NAME", help="networks; default: all")
    parser.add_argument("--family", nargs="+", choices=list(FAMILIES), help="families of networks; default: all")
    parser.add_argument("--fraction", type=float, nargs="+", default=[0.5, 0.75], help="budgets, fractions of the MACs")
    parser.add_argument("--against", choices=["torch-pruning"], help="run this beside it")
    parser.add_argument("--fast", action="store_true", help="prune, verify and replay only: no training, no files")
    parser.add_argument("--rows", type=Path, help="journal of results; networks that it contains are not run again")
    parser.add_argument("--report", action="store_true", help="report what the journal contains, and run nothing")
    parser.add_argument("--write", type=Path, help="write the report to this file too")
    parser.add_argument("--one", choices=NAMES, help=argparse.SUPPRESS)
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _names(arguments: argparse.Namespace) -> list[str]:
    if arguments.names:
        return list(arguments.names)
    return [name for family in arguments.family or FAMILIES for name in FAMILIES[family].makers]


def _read(journal: Path | None) -> list[dict[str, Any]]:
    if journal is None or not journal.exists():
        return []
    return [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]


def _one(name: str, fraction: float, arguments: argparse.Namespace) -> dict[str, Any]:
    from edgeprune.errors import EdgePruneError
    from scripts.zoo_network_row import network_row
    from scripts.zoo_torch_pruning import torch_pruning_row

    if arguments.peer:
        return torch_pruning_row(name, fraction)
    try:
        return network_row(name, fraction, checks=not arguments.fast)
    except EdgePruneError as problem:
        return {"error": f"{type(problem).__name__}: {problem}"}


def _run(name: str, fraction: float, *, fast: bool = False, peer: bool = False) -> dict[str, Any]:
    argv = ["--one", name, "--fraction", str(fraction), *(["--fast"] if fast else []), *(["--peer"] if peer else [])]
    return run_row(__file__, argv, limit_s=LIMIT_S)


if __name__ == "__main__":
    main()
