"""What is left of the accuracy of a pruned CIFAR-10 ResNet-56: every criterion, beside Torch-Pruning 1.6.1.

    python scripts/bench_selection.py --cases all-criteria --journal criteria.jsonl
    python scripts/bench_selection.py --cases finetuned --journal finetuned.jsonl --only ' 0.5 '
    python scripts/bench_selection.py --journal criteria.jsonl --journal finetuned.jsonl \\
        --write docs/benchmarks/selection.md

A case is one way to prune, at one budget, with one seed: that of the images for scoring and repair, and of the order in
which fine-tuning reads. Accuracies are taken right after pruning (raw), with new BatchNorm statistics (recalibrated),
with layers refitted in closed form instead (repaired, EdgePrune alone), and after one epoch of a plain loop that is the
same for both tools (finetuned).

The journal (JSON lines) makes it restartable: what any --journal has is not run again, what is new goes to the first.
Two processes may run at once, each with its own. Without --cases only the report is made. Accuracies on the test part
are in the journal, and stay hidden until --reveal-test: choices are made on the validation part.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, cast, get_args

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from edgeprune import __version__, criteria, repair, selection  # noqa: E402
from edgeprune.config import Budget, Recipe  # noqa: E402
from edgeprune.cost import cost_of  # noqa: E402
from edgeprune.errors import EdgePruneError  # noqa: E402
from edgeprune.export import onnx_export  # noqa: E402
from edgeprune.graph import capture, units_of  # noqa: E402
from edgeprune.graph.rewrite import rewrite  # noqa: E402
from edgeprune.model import data, network  # noqa: E402
from edgeprune.model.batches import training_steps  # noqa: E402
from edgeprune.model.splits import Split  # noqa: E402
from edgeprune.profile import measure  # noqa: E402
from edgeprune.pruning import choose, score  # noqa: E402
from edgeprune.repair.reconstruct import Method  # noqa: E402
from edgeprune.statistics import Samples  # noqa: E402
from edgeprune.training import evaluate  # noqa: E402
from scripts.page import processor, write_between  # noqa: E402
from scripts.schedule_runs import PARTS, First, Row, unhidden  # noqa: E402
from scripts.selection_report import (  # noqa: E402
    BATCH,
    DENSE,
    LATENCY,
    LATENCY_BUDGET,
    LEARNING_RATE,
    OURS,
    PEER,
    PEER_STEPS,
    PEERS,
    RECALIBRATION_SAMPLES,
    RECIPE,
    STATES,
    USUAL,
    Case,
    Journal,
    Report,
    Settings,
    Variant,
    as_text,
    draw,
    measured,
    resolved,
)  # fmt: skip

SCOPES = {"inner": ("bn1", "layer*.bn2"), "whole": ()}
"""What stays whole: ``inner`` keeps the residual streams, which is all that Torch-Pruning can do with this network."""


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    settings = Settings(arguments.samples, arguments.images, arguments.steps)
    journal = Journal(arguments.journal, settings, _machine())
    expected = _wanted(arguments)
    failed = False
    if expected:
        bench = Bench(settings)
        for done, (case, measures) in enumerate(expected.items(), 1):
            missing = measures - journal.measured(case)
            if not missing:
                continue
            try:
                row = bench.run(case, missing)
            except (EdgePruneError, RuntimeError) as error:
                failed = True
                print(f"{case}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                continue
            journal.add(case, row)
            print(f"{done} of {len(expected)}: {case}: {json.dumps(unhidden(row))}", file=sys.stderr, flush=True)
    report = Report(journal.rows, "test" if arguments.reveal_test else "validation")
    picture = arguments.write and arguments.write.with_suffix(".png")
    text = report.text(settings, sorted(journal.machines), picture and picture.name)
    print(text)
    if arguments.write:
        draw(report, picture)
        write_between(arguments.write, f"selection {RECIPE}", f"What is left of the accuracy: {RECIPE}", text)
    sys.exit(1 if failed else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=["all-criteria", "finetuned"], default=[], help="default: none")
    parser.add_argument("--criteria", nargs="+", metavar="NAME", help="EdgePrune's; default: all, fine-tuned auto, l2")
    parser.add_argument("--peers", nargs="*", choices=PEERS, help="Torch-Pruning's; default: all, fine-tuned l2")
    parser.add_argument("--scopes", nargs="+", choices=list(SCOPES), default=list(SCOPES), help="EdgePrune's")
    parser.add_argument("--select", default="global", metavar="NAME", help="EdgePrune's selection (global)")
    parser.add_argument("--option", nargs="+", default=[], metavar="KEY=VALUE", help="of the selection")
    parser.add_argument("--repair", choices=[*get_args(Method), "none"], default=USUAL.repair, help="EdgePrune's refit")
    parser.add_argument(
        "--start", choices=["recalibrated", "repaired"], default=USUAL.start, help="what EdgePrune's fine-tuning is of"
    )
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.7, 0.5, 0.33], help="shares of the dense MACs")
    parser.add_argument("--seeds", type=int, nargs="+", help="default: 0, fine-tuned 0 1 2")
    parser.add_argument("--only", type=re.compile, metavar="REGEX", help="run the cases whose name has it, see --list")
    parser.add_argument("--list", action="store_true", help="print the names of the cases, and run none")
    parser.add_argument("--latency", action="store_true", help=f"also measure the networks of {LATENCY_BUDGET}")
    parser.add_argument("--samples", type=int, default=1024, help="training images for scoring and repair")
    parser.add_argument("--images", type=int, help="judge by the first so many of each part; default: all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--journal", type=Path, action="append", default=[], help="of results; may be given again")
    parser.add_argument("--reveal-test", action="store_true", help="report the test part: once, when all is chosen")
    parser.add_argument("--write", type=Path, help="put the report into this page, and a plot beside it")
    parser.add_argument("--steps", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(map(str, _wanted(arguments))))
        parser.exit()
    return arguments


def _wanted(arguments: argparse.Namespace) -> dict[Case, set[str]]:
    """The cases to run, and what to measure of each."""
    expected: dict[Case, set[str]] = {}
    for cases in arguments.cases:
        finetuned = cases == "finetuned"
        names = arguments.criteria or (["auto", "l2"] if finetuned else list(criteria.registered()))
        peers = (["l2"] if finetuned else PEERS) if arguments.peers is None else arguments.peers
        options = selection.create(arguments.select, dict(map(_option, arguments.option))).options
        start = "recalibrated" if arguments.repair == "none" else arguments.start
        inputs = Variant(OURS, "", "", arguments.select, as_text(options), arguments.repair, start)
        ours = [replace(inputs, method=resolved(name), scope=scope) for name in names for scope in arguments.scopes]
        variants = [*(Variant(PEER, name, "inner") for name in peers), *ours]
        expected.setdefault(Case(Variant(DENSE)), set()).add("raw")
        # A seed is finished before the next begins, so that there is something to see early.
        for seed in arguments.seeds or ([0, 1, 2] if finetuned else [0]):
            for variant in variants:
                for budget in arguments.budgets:
                    expected.setdefault(Case(variant, budget, seed), set()).update(
                        _measures(variant, finetuned=finetuned, latency=arguments.latency and budget == LATENCY_BUDGET)
                    )
    return {case: what for case, what in expected.items() if arguments.only is None or arguments.only.search(str(case))}


def _option(inputs: str) -> tuple[str, Any]:
    key, _, value = inputs.partition("=")
    return key, json.loads(value)


def _measures(variant: Variant, *, finetuned: bool, latency: bool) -> set[str]:
    there = {"repaired": variant.repair != "none", "finetuned": finetuned}
    return {state for state in STATES if there.get(state, True)} | ({LATENCY} if latency else set())


class Bench:
    """The dense network, its data, and what several cases share."""

    def __init__(self, settings: Settings) -> None:
        recipe = Recipe.load(RECIPE)
        self._settings = settings
        self._model = network.load_model(recipe.model.factory, recipe.weights_path, base=recipe.folder)
        self._example = network.example_inputs(recipe.model.input)
        splits = data.load(recipe.data.function, base=recipe.folder, folder=recipe.data_dir)
        assert splits.test is not None
        self._train = splits.train
        self._parts = {"validation": splits.validation, "test": splits.test}
        if settings.images is not None:
            self._parts = {name: First(split, settings.images) for name, split in self._parts.items()}
        program = capture(self._model, self._example)
        self._units = {scope: units_of(program, exclude=exclude) for scope, exclude in SCOPES.items()}
        self._dense = cost_of(self._units["whole"], self._model)
        self._scores: dict[tuple[Any, ...], Tensor] = {}
        self._done: dict[tuple[Any, ...], Row] = {}

    def run(self, case: Case, missing: set[str]) -> Row:
        """Measure what is ``missing`` of ``case``; where another case came to the same network, take its figures.

        That is often so: good criteria leave the residual streams whole of themselves.
        """
        row: Row = {"seconds": {}, **{part: {} for part in PARTS}}
        last = max((STATES.index(state) for state in missing if state in STATES), default=0)
        begin = time.perf_counter()
        for state, model in self._states(case):
            row["seconds"][state] = time.perf_counter() - begin
            if state == "raw":
                key = (_fingerprint(model), case.seed, case.variant.repair, case.variant.start)
                if missing <= measured(self._done.get(key, {})):
                    return self._done[key]
                self._done[key] = row
                row.update(self._costs(model))
            if state in missing:
                for part, split in self._parts.items():
                    row[part][state] = evaluate(model, split).accuracy
            if state == "raw" and LATENCY in missing:
                row[LATENCY] = self._latency_ratio(model)
            if STATES.index(state) >= last:
                break
            begin = time.perf_counter()
        return row

    def _states(self, case: Case) -> Iterator[tuple[str, nn.Module]]:
        """The network of ``case`` in each of ``STATES`` that it has, made when it is asked for."""
        model, refit = self._pruned(case)
        yield "raw", model
        recalibrated = copy.deepcopy(model)
        samples = Samples.of(self._train, count=RECALIBRATION_SAMPLES, batch_size=BATCH, seed=case.seed)
        repair.recalibrate(recalibrated, samples)
        yield "recalibrated", recalibrated
        if refit is not None:
            refit()
            yield "repaired", model
        trained = model if case.variant.start == "repaired" else recalibrated
        finetune(trained, self._train, seed=case.seed, steps=self._settings.steps)
        yield "finetuned", trained

    def _pruned(self, case: Case) -> tuple[nn.Module, Callable[[], None] | None]:
        """The network right after pruning, and what repairs it in place, None where nothing does."""
        variant, seed = case.variant, case.seed
        if variant.tool == DENSE:
            return self._model, None
        if variant.tool == PEER:
            return self._peer(variant.method, case.budget, seed), None
        units = self._units[variant.scope]
        criterion = criteria.create(variant.method, data=True)
        samples = self._samples(seed)
        _, removed = choose(
            self._model,
            units,
            self._scored(criterion, variant, seed),
            Budget(macs=case.budget),
            selection.PlanMethod(
                criterion=criterion,
                selection=selection.create(variant.select, json.loads(variant.options)),
                seed=seed,
            ),
            samples=samples,
        )
        rewritten = rewrite(self._model, units, removed)

        def refit() -> None:
            method = cast("Method", variant.repair)
            repair.put(repair.reconstruct(units, removed, samples, method, seed=seed), rewritten)

        return rewritten.model, None if variant.repair == "none" else refit

    def _scored(self, criterion: criteria.Criterion, variant: Variant, seed: int) -> Tensor:
        """Scores do not depend on the budget. Constant units go first where repair makes up for them."""
        repairs = () if variant.repair == "none" else ("constants",)
        key = (criterion.name, variant.scope, repairs, seed)
        if key not in self._scores:
            looked_at = criteria.Network(self._model, self._units[variant.scope], seed, self._samples(seed))
            self._scores[key] = score(criterion, looked_at, repairs)
        return self._scores[key]

    def _samples(self, seed: int) -> Samples:
        return Samples.of(self._train, count=self._settings.samples, seed=seed)

    def _peer(self, method: str, budget: float, seed: int) -> nn.Module:
        """Torch-Pruning over the convolutions within blocks, step by step until its own count is within ``budget``."""
        import torch_pruning

        importances = torch_pruning.importance
        importance = {
            "l1": partial(importances.MagnitudeImportance, p=1),
            "l2": partial(importances.MagnitudeImportance, p=2),
            "lamp": importances.LAMPImportance,
            "fpgm": importances.FPGMImportance,
            "bn_scale": importances.BNScaleImportance,
            "taylor": importances.TaylorImportance,
        }[method]()
        model = copy.deepcopy(self._model)
        layers = {name: one for name, one in model.named_modules() if isinstance(one, (nn.Conv2d, nn.Linear))}
        pruner = torch_pruning.pruner.BasePruner(
            model,
            self._example[0],
            importance=importance,
            global_pruning=True,
            pruning_ratio=1.0,
            max_pruning_ratio=1.0,
            iterative_steps=PEER_STEPS,
            ignored_layers=[one for name, one in layers.items() if not re.fullmatch(r"layer\d\.\d+\.conv1", name)],
        )
        if method == "taylor":  # taken once; Torch-Pruning slices gradients along with the weights
            for inputs, _, labels in self._samples(seed):
                functional.cross_entropy(model(*inputs), labels).backward()
        dense, _ = torch_pruning.utils.count_ops_and_params(model, self._example[0])
        macs = dense
        for _ in range(PEER_STEPS):
            pruner.step()
            macs, _ = torch_pruning.utils.count_ops_and_params(model, self._example[0])
            if macs <= budget * dense:
                return model
        raise RuntimeError(f"Torch-Pruning stopped at {macs / dense:.2f} of the MACs")

    def _costs(self, model: nn.Module) -> Row:
        """Shares of the dense network, counted in the same way for both tools."""
        cost = cost_of(units_of(capture(model, self._example)), model)
        return {"macs_share": cost.macs / self._dense.macs, "params_share": cost.params / self._dense.params}

    def _latency_ratio(self, model: nn.Module) -> float:
        """Median latency in ONNX Runtime over that of the dense network, one thread, measured in turn."""
        with tempfile.TemporaryDirectory() as folder:
            paths = {DENSE: Path(folder) / "dense.onnx", "pruned": Path(folder) / "pruned.onnx"}
            for one, path in zip((self._model, model), paths.values(), strict=True):
                onnx_export.export(one, self._example, path)
            return measure(paths, threads=1).ratios["pruned"].value


def _fingerprint(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)}".encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def finetune(model: nn.Module, train: Split, *, seed: int, steps: int | None = None) -> None:
    """One epoch as plain as can be, in place: SGD with Nesterov momentum, a cosine to 0, bfloat16, cross entropy."""
    total = steps or training_steps(len(train), BATCH)
    model.zero_grad()
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    for inputs, labels in islice(train.batches(BATCH, rng_key=(seed, 0)), total):
        with torch.autocast("cpu", torch.bfloat16):
            loss = functional.cross_entropy(model(inputs.contiguous(memory_format=torch.channels_last)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.eval()


def _machine() -> str:
    import onnxruntime

    return (
        f"EdgePrune {__version__}, torch {torch.__version__}, ONNX Runtime {onnxruntime.__version__}, Python "
        f"{platform.python_version()}, {processor()}, {torch.get_num_threads()} threads"
    )


if __name__ == "__main__":
    main()
