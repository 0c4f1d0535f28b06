"""What ``bench_selection.py`` measured: cases, the journal that holds them, and the tables and plot made of it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_args

from edgeprune import criteria, selection
from edgeprune.repair import chosen_repairs
from edgeprune.repair.reconstruct import Method
from scripts.schedule_runs import Row, cell, whole_lines

RECIPE = "cifar10-resnet56"
OURS, PEER, DENSE = "edgeprune", "torch-pruning", "dense"
PEERS = ("l1", "l2", "lamp", "fpgm", "bn_scale", "taylor")
PEER_STEPS = 400
STATES = ("raw", "recalibrated", "repaired", "finetuned")
LATENCY, LATENCY_BUDGET = "latency_ratio", 0.5
RECALIBRATION_SAMPLES = 2048
LEARNING_RATE, BATCH = 0.02, 128
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito
MARKERS = "osD^vP*"


@dataclass(frozen=True)
class Variant:
    """One way to prune.

    Attributes:
        tool: ``edgeprune``, ``torch-pruning``, or ``dense``, which prunes nothing.
        method: The criterion.
        scope: A key of ``SCOPES``.
        select: Name of the selection.
        options: Its options, as JSON.
        repair: How layers are refitted, ``none`` for not.
        start: The state that fine-tuning starts from.
    """

    tool: str
    method: str = ""
    scope: str = ""
    select: str = ""
    options: str = "{}"
    repair: str = "none"
    start: str = "recalibrated"


def resolved(criterion: str) -> str:
    """``criterion``, or what ``auto`` stands for now: a row must not change its meaning when that does."""
    return criteria.create("auto", data=True).name if criterion == "auto" else criterion


def as_text(options: Mapping[str, Any]) -> str:
    """JSON, the same for the same options."""
    return json.dumps(options, sort_keys=True)


def _usual() -> Variant:
    refits = [name for name in chosen_repairs("auto", data=True) if name in get_args(Method)]
    recalibrates = "recalibrate" in chosen_repairs("auto", data=True, training=True)
    options = as_text(selection.create("global").options)
    start = "recalibrated" if recalibrates or not refits else "repaired"
    return Variant(OURS, resolved("auto"), "whole", "global", options, refits[0] if refits else "none", start)


USUAL = _usual()
"""What EdgePrune does by default."""


@dataclass(frozen=True)
class Case:
    """A variant at one ``budget``, a share of the dense MACs, with one ``seed``."""

    variant: Variant
    budget: float = 1.0
    seed: int = 0

    def __str__(self) -> str:
        name = " ".join(value for value in asdict(self.variant).values() if value)
        return f"{name} {self.budget:g} seed {self.seed}"

    def to_row(self) -> Row:
        return {**asdict(self.variant), "budget": self.budget, "seed": self.seed}

    @staticmethod
    def pop_from(row: Row) -> Case:
        """The case of ``row``, in which what was measured is left."""
        variant = Variant(**{field.name: row.pop(field.name) for field in fields(Variant)})
        return Case(variant, row.pop("budget"), row.pop("seed"))


@dataclass(frozen=True)
class Settings:
    """What all rows of a page have in common.

    Attributes:
        samples: Training images, not augmented, for scoring and for repair.
        images: How many of each part accuracies are of; None: all.
        steps: Of fine-tuning, None: one epoch. Fewer are for tries.
    """

    samples: int
    images: int | None
    steps: int | None


def measured(row: Row) -> set[str]:
    """Which states ``row`` has accuracies of, and ``LATENCY`` where it has that."""
    return set(row.get("validation", {})) | ({LATENCY} & row.keys())


class Journal:
    """What was measured, by case. Lines of one case add up; each run of this script begins with a line of its own.

    Args:
        paths: Files of JSON lines. New rows are appended to the first, the others are only read.
        settings: Of this run; a file of others is refused.
        machine: What this run's figures are made with.
    """

    def __init__(self, paths: Sequence[Path], settings: Settings, machine: str) -> None:
        self.rows: dict[Case, Row] = {}
        self.machines: set[str] = set()
        self._machine = machine
        self._begin = {"settings": asdict(settings), "machine": machine}
        self._begun = False
        self._own = paths[0] if paths else None
        for path in paths:
            for line in whole_lines(path, mend=path == self._own):
                self._read(json.loads(line), path)

    def measured(self, case: Case) -> set[str]:
        """What is known of ``case``."""
        return measured(self.rows.get(case, {}))

    def add(self, case: Case, row: Row) -> None:
        lines = [] if self._begun else [self._begin]
        self._begun = True
        self._merge(case, row)
        self.machines.add(self._machine)
        if self._own:
            with self._own.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(line) + "\n" for line in [*lines, {**case.to_row(), **row}])

    def _read(self, row: Row, path: Path) -> None:
        if "settings" not in row:
            self._merge(Case.pop_from(row), row)
            return
        if row["settings"] != self._begin["settings"]:
            raise SystemExit(f"{path} is of {row['settings']}, not of {self._begin['settings']}: give another journal")
        self.machines.add(row["machine"])

    def _merge(self, case: Case, row: Row) -> None:
        available = self.rows.setdefault(case, {})
        for key, value in row.items():
            available[key] = {**available.get(key, {}), **value} if isinstance(value, Mapping) else value


@dataclass(frozen=True)
class Report:
    """Tables of ``rows`` for one ``part`` of the images. Accuracies are in percent."""

    rows: Mapping[Case, Row]
    part: str

    def text(self, settings: Settings, machines: Iterable[str], picture: str | None) -> str:
        """All of it in Markdown, with a reference to ``picture``."""
        dense = self.mean(Variant(DENSE), 1.0, "raw")
        images = "" if settings.images is None else f" (the first {settings.images:,} images)"
        lines = f"""`scripts/bench_selection.py`: ResNet-56 on CIFAR-10, accuracy in % on the {self.part} part{images},
dense {"-" if dense is None else f"{dense:.2f}"}, at shares of the dense MACs. The weights have seen the validation
images in training: dense is near 100 there, and far from it on the test part.

- *inner*: only what lies within residual blocks, which is all that Torch-Pruning 1.6.1 can prune of this network, the
  residual streams stay whole. *whole*: the streams as well.
- *raw*: right after pruning. *recal.*: with BatchNorm statistics of {RECALIBRATION_SAMPLES:,} training images.
  *repaired*: instead of that, layers refitted in closed form; Torch-Pruning has no such step.
- {settings.samples:,} training images, not augmented, for criteria that look at data (Torch-Pruning's Taylor as well,
  its gradients taken once) and for repair.
- Torch-Pruning prunes globally, in steps of 1/{PEER_STEPS} of the channels until the MACs fit.
- Fine-tuned: {settings.steps or "one epoch in"} steps of {BATCH}, the same for all: SGD, Nesterov momentum 0.9,
  learning rate {LEARNING_RATE} along a cosine to 0, weight decay 5e-4, crops and flips, bfloat16, cross entropy with
  labels alone; from the recalibrated network where nothing else is said; BatchNorm statistics as the loop leaves them.
- Seeds change the images drawn and the order of the loop.

{"; ".join(machines)}.""".splitlines()
        for title, table in (
            ("After one epoch", self.finetuned()),
            ("Every criterion, within residual blocks", self.criteria("inner")),
            ("Every criterion, the whole network", self.criteria("whole")),
        ):
            lines += ["", f"### {title}", "", *table] if table else []
            if table and title == "After one epoch" and picture:
                lines += ["", f"![Accuracy against MACs]({picture})"]
        return "\n".join(lines)

    def criteria(self, scope: str) -> list[str]:
        """Every variant of ``scope`` without fine-tuning, with its lowest seed; the best at the middle budget first."""
        states = STATES[:3]
        head = ["criterion", *(f"{_percent(budget)} {_short(state)}" for budget in self.budgets for state in states)]
        variants = [variant for variant in self.variants if variant.scope == scope]
        body = [
            [label(variant), *(self._cell(variant, budget, state) for budget in self.budgets for state in states)]
            for variant in variants
        ]
        seed = min((case.seed for case in self.rows if case.variant in variants), default=0)
        return [f"Seed {seed}.", "", *_table(head, body)] if body else []

    def finetuned(self) -> list[str]:
        """Variants that were fine-tuned: mean and spread over seeds, and the distance to Torch-Pruning's best."""
        variants = self.tuned
        if not variants:
            return []
        timed = {variant: self._latency(variant) for variant in variants}
        latency = any(timed.values())
        head = ["", *(f"{_percent(budget)} {when}" for budget in self.budgets for when in ("before", "after"))]
        head += [f"latency at {_percent(LATENCY_BUDGET)}"] if latency else []
        body = [
            [
                label(variant),
                *(
                    self._against_best(variant, budget, finetuned=finetuned)
                    for budget in self.budgets
                    for finetuned in (False, True)
                ),
                *([timed[variant] or "-"] if latency else []),
            ]
            for variant in variants
        ]
        seeds = sorted({case.seed for case, row in self.rows.items() if "finetuned" in row.get(self.part, {})})
        text = f"""Mean over seeds {", ".join(map(str, seeds))}, ± their standard deviation. In brackets: distance to
Torch-Pruning's best at that budget, before fine-tuning (repaired, else recalibrated) the best of all its criteria,
after it the best of those that were fine-tuned."""
        if latency:
            text += "\nLatency: median in ONNX Runtime over that of the dense network, one thread, one image, measured."
        return [*text.splitlines(), "", *_table(head, body)]

    @property
    def budgets(self) -> list[float]:
        """The most generous first."""
        return sorted({case.budget for case in self.rows if case.variant.tool != DENSE}, reverse=True)

    @property
    def variants(self) -> list[Variant]:
        """All but dense, the best before fine-tuning first, by the middle budget."""
        result = dict.fromkeys(case.variant for case in self.rows if case.variant.tool != DENSE)
        middle = self.budgets[len(self.budgets) // 2] if result else 0
        return sorted(result, key=lambda one: -(self.before(one, middle) or 0.0))

    @property
    def tuned(self) -> list[Variant]:
        """Those that were fine-tuned, in the order of ``variants``."""
        return [
            variant
            for variant in self.variants
            if any(self.accuracies(variant, budget, "finetuned") for budget in self.budgets)
        ]

    def accuracies(self, variant: Variant, budget: float, state: str) -> dict[int, float]:
        """By seed."""
        results = {
            case.seed: row.get(self.part, {}).get(state)
            for case, row in self.rows.items()
            if (case.variant, case.budget) == (variant, budget)
        }
        return {seed: 100 * accuracy for seed, accuracy in sorted(results.items()) if accuracy is not None}

    def mean(self, variant: Variant, budget: float, state: str) -> float | None:
        result = self.accuracies(variant, budget, state)
        return statistics.mean(result.values()) if result else None

    def before(self, variant: Variant, budget: float) -> float | None:
        """What is had without fine-tuning."""
        return self.mean(variant, budget, before_finetuning(variant))

    def _cell(self, variant: Variant, budget: float, state: str) -> str:
        result = self.accuracies(variant, budget, state)
        return f"{result[min(result)]:.1f}" if result else "-"

    def _against_best(self, variant: Variant, budget: float, *, finetuned: bool) -> str:
        state = "finetuned" if finetuned else before_finetuning(variant)
        results = list(self.accuracies(variant, budget, state).values())
        if not results:
            return "-"
        peers = [one for one in self.variants if one.tool == PEER]
        rivals = [self.mean(one, budget, "finetuned" if finetuned else before_finetuning(one)) for one in peers]
        best = max((rival for rival in rivals if rival is not None), default=None)
        return cell(results, best)

    def _latency(self, variant: Variant) -> str | None:
        ratios = [row[LATENCY] for case, row in self.rows.items() if case.variant == variant and LATENCY in row]
        return f"{statistics.mean(ratios):.2f}" if ratios else None


def before_finetuning(variant: Variant) -> str:
    """The state that is shipped where no fine-tuning follows."""
    return "recalibrated" if variant.repair == "none" else "repaired"


def label(variant: Variant) -> str:
    """What tables call it: whatever is not as it is by default is said."""
    if variant.tool == PEER:
        return f"Torch-Pruning `{variant.method}`"
    lines = [f"`{variant.method}`", variant.scope]
    if variant.select != USUAL.select:
        lines.append(variant.select)
    usual = selection.create(variant.select).options
    options = json.loads(variant.options)
    lines += [f"{key} {value}" for key, value in options.items() if usual.get(key) != value]
    if variant.repair != USUAL.repair:
        lines.append("no refit" if variant.repair == "none" else f"refit by {variant.repair}")
    if variant.start != USUAL.start:
        lines.append(f"fine-tuned from {variant.start}")
    return ", ".join(lines) + (" (default)" if len(lines) == 2 and variant.method == USUAL.method else "")


def draw(report: Report, path: Path) -> None:
    """Accuracy against MACs, without and with fine-tuning: of what was fine-tuned, else of the best."""
    from matplotlib.figure import Figure

    output = (report.tuned or report.variants)[: len(COLORS)]
    dense = report.mean(Variant(DENSE), 1.0, "raw")
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True)
    for panel, finetuned in zip(panels, (False, True), strict=True):
        for variant, color, marker in zip(output, COLORS, MARKERS, strict=False):
            state = "finetuned" if finetuned else before_finetuning(variant)
            points = {one: list(report.accuracies(variant, one, state).values()) for one in report.budgets}
            points = {budget: item for budget, item in points.items() if item}
            panel.errorbar(
                [100 * budget for budget in points],
                [statistics.mean(item) for item in points.values()],
                [statistics.stdev(item) if len(item) > 1 else 0.0 for item in points.values()],
                color=color,
                marker=marker,
                linestyle="--" if variant.tool == PEER else "-",
                capsize=3,
                label=label(variant).replace("`", ""),
            )
        if dense is not None:
            panel.axhline(dense, color="grey", linestyle=":", label="dense")
        panel.set_title("After one epoch" if finetuned else "Without fine-tuning")
        panel.set_xlabel("MACs, % of dense")
        panel.set_xticks([100 * budget for budget in report.budgets])
        panel.set_ylabel(f"accuracy on the {report.part} part, %")
        panel.grid(alpha=0.3)
    panels[0].legend(fontsize="small")
    figure.savefig(path, dpi=120)


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


def _short(state: str) -> str:
    return "recal." if state == "recalibrated" else state


def _table(head: list[str], body: list[list[str]]) -> list[str]:
    rule = "|---|" + "---:|" * (len(head) - 1)
    return ["| " + " | ".join(head) + " |", rule, *("| " + " | ".join(cells) + " |" for cells in body)]
