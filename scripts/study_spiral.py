"""Does pruning commute with training? A two-arm spiral, a 2-50-50-1 network, and half of each hidden layer pruned.

    python scripts/study_spiral.py --write docs/benchmarks/study-spiral.md
    python scripts/study_spiral.py --seeds 0 --steps 200

From one initialization, path A trains the network and then prunes it; path B prunes the initial network, and then
trains what is left on the same batches for as many steps. Units go at random, the same on both paths, or by smallest
standard deviation of their activation; B then removes what that picks in the initial network, or, *informed*, what it
picks in the trained one. Each with and without a bias that takes over the mean of what is gone.

A seed draws the points, the initial weights, the batches and the random choice. What A and B have in common is told
from what any two trainings have in common by controls: the dense network beside itself trained on other batches, and
beside one from another initialization.
"""

from __future__ import annotations

import argparse
import math
import platform
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import matplotlib as mpl  # noqa: E402
import torch  # noqa: E402
from matplotlib.colors import LinearSegmentedColormap  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.patches import Circle  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn.functional import binary_cross_entropy_with_logits  # noqa: E402

import edgeprune  # noqa: E402
from edgeprune.criteria import Criterion, Network  # noqa: E402
from edgeprune.model.seeding import generator, seeded  # noqa: E402
from edgeprune.pruning import PruneResult  # noqa: E402
from edgeprune.selection import Plan  # noqa: E402
from scripts.page import processor, write_between  # noqa: E402

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TRAIN, HELD_OUT = 1000, 4000
TURNS, NOISE = 2.0, 0.02
HIDDEN, KEPT = 50, 25
STEPS, BATCH, LEARNING_RATE = 2000, 100, 0.01
HIDDEN_LAYERS = ("0", "2")
WEIGHTS = ("0.weight", "2.weight", "4.weight")
GRID = 161
RADIUS = 1.1
DRAW_POINTS, DRAW_WEIGHTS, DRAW_BATCHES = range(3)
"""What a key says after the seed, so that one draw does not shift another."""
A, RETRAINED, B, TWICE = "A", "A, trained on", "B", "B, trained on"
PATHS = (A, RETRAINED, B, TWICE)
DENSE, DENSE_ON, SMALL, SMALL_ON = "dense", "dense, trained on", "small", "small, trained on"
OTHER_BATCHES, OTHER_WEIGHTS = "dense, other batches", "dense, other initialization"
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#888888"  # Okabe and Ito

Row = dict[str, float]


@dataclass(frozen=True)
class Points:
    """Points in the plane, (n, 2), and the arm each is on, (n, 1): 0 or 1."""

    inputs: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Case:
    """One way to prune.

    Attributes:
        criterion: What scores units.
        informed: B removes what the criterion picks in the trained network.
        compensated: Biases take over the mean of what is gone.
    """

    criterion: str
    informed: bool
    compensated: bool

    def __str__(self) -> str:
        picked = "" if self.criterion == "random" else ", informed" if self.informed else ", at init"
        return f"`{self.criterion}`{picked}{' + bias' if self.compensated else ''}"


CASES = tuple(
    Case(criterion, informed, compensated)
    for criterion, informed in (("random", False), ("activation_std", False), ("activation_std", True))
    for compensated in (False, True)
)


@dataclass(frozen=True)
class Pair:
    """What both paths of a case lead to: a network for each of ``PATHS``, and which units A and B kept."""

    networks: Mapping[str, nn.Module]
    plan_a: Plan
    plan_b: Plan

    def plan(self, path: str) -> Plan:
        return self.plan_a if path in {A, RETRAINED} else self.plan_b


@dataclass(frozen=True)
class Study:
    """All networks of one seed.

    Attributes:
        held_out: Points that nothing was trained or pruned with.
        initial: The network that all paths begin with.
        controls: By name.
        pairs: Of each of ``CASES``.
        single: A of each uninformed case with only one hidden layer pruned, by its name.
    """

    held_out: Points
    initial: nn.Module
    controls: Mapping[str, nn.Module]
    pairs: Mapping[Case, Pair]
    single: Mapping[tuple[Case, str], nn.Module]


class AsPlanned(Criterion):
    """Makes ``prune`` remove what a plan removed from another network of the same shape.

    ``Plan.apply`` does that too, but repairs nothing.
    """

    name = "as_planned"

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def score(self, network: Network) -> Tensor:
        return (~self._plan.removed(network.units)).double()


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    begin, rows, output = time.perf_counter(), [], None
    for seed in arguments.seeds:
        result = study(seed, arguments.steps)
        rows.append(measure(result))
        output = output or result
        print(f"seed {seed}: {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)
    text = report(rows, arguments, time.perf_counter() - begin)
    print(text)
    if arguments.write and output:
        page: Path = arguments.write
        draw_decisions(output, page.with_suffix(".png"), arguments.seeds[0])
        draw_weights(output, page.with_name(f"{page.stem}-weights.png"), arguments.seeds[0])
        write_between(page, "study", "Numbers", text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)), help="0 to 9; the first is drawn")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of every training ({STEPS})")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", type=Path, help="put the numbers into this page, and the pictures beside it")
    return parser.parse_args()


def spiral(count: int, *key: int) -> Points:
    """``count`` points, half on each of two arms of a spiral within the unit disc, with noise; drawn by ``key``."""
    chance = generator(*key)
    arm = torch.arange(count) % 2
    radius = torch.rand(count, generator=chance).sqrt()
    angle = math.pi * (2 * TURNS * radius + arm)
    inputs = torch.stack((radius * angle.cos(), radius * angle.sin()), 1)
    return Points(inputs + NOISE * torch.randn(count, 2, generator=chance), arm[:, None].float())


def network(hidden: int, *key: int) -> nn.Sequential:
    """The initial network, its weights drawn by ``key``."""
    with seeded(*key):
        return nn.Sequential(
            nn.Linear(2, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)
        )


def train(model: nn.Module, points: Points, steps: int, *key: int) -> nn.Module:
    """A trained copy of ``model``; the batches are drawn by ``key`` alone, so they are the same for every network."""
    model = deepcopy(model)
    if not steps:
        return model
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for batch in torch.randint(len(points.inputs), (steps, BATCH), generator=generator(*key)):
        optimizer.zero_grad()
        loss: Tensor = binary_cross_entropy_with_logits(model(points.inputs[batch]), points.labels[batch])
        loss.backward()
        optimizer.step()
        schedule.step()
    return model


def prune(
    model: nn.Module,
    points: Points,
    criterion: str | Criterion,
    *,
    compensated: bool,
    seed: int,
    layers: Sequence[str] = HIDDEN_LAYERS,
) -> PruneResult:
    """Half of each of ``layers`` goes."""
    first, second = (KEPT if layer in layers else HIDDEN for layer in HIDDEN_LAYERS)
    return edgeprune.prune(
        model,
        (points.inputs[:1],),
        budget={"macs": 2 * first + first * second + second},  # with that minimum, no other numbers of units fit
        data=[(points.inputs, points.labels)],
        options=edgeprune.PruneOptions(
            min_units=KEPT / HIDDEN,
            # To exclude the whole layer would also keep all of its inputs.
            exclude=tuple(f"{layer}.bias" for layer in HIDDEN_LAYERS if layer not in layers),
            criterion=criterion,
            selection="uniform",
            repair=("bias",) if compensated else (),
            loss=binary_cross_entropy_with_logits,
            seed=seed,
        ),
    )


def study(seed: int, steps: int = STEPS) -> Study:
    """Go both paths of every case."""
    points, held_out = spiral(TRAIN, seed, DRAW_POINTS, 0), spiral(HELD_OUT, seed, DRAW_POINTS, 1)

    def trained(model: nn.Module, batches: int = 0) -> nn.Module:
        return train(model, points, steps, seed, DRAW_BATCHES, batches)

    def on(model: nn.Module) -> nn.Module:
        return trained(model, 1)

    initial = network(HIDDEN, seed, DRAW_WEIGHTS, 0)
    dense = trained(initial)
    small = trained(network(KEPT, seed, DRAW_WEIGHTS, 2))
    controls = {
        DENSE: dense,
        DENSE_ON: on(dense),
        OTHER_BATCHES: trained(initial, 2),
        OTHER_WEIGHTS: trained(network(HIDDEN, seed, DRAW_WEIGHTS, 1)),
        SMALL: small,
        SMALL_ON: on(small),
    }
    pairs: dict[Case, Pair] = {}
    for case in CASES:
        uninformed = pairs.get(Case(case.criterion, False, case.compensated))
        chosen: str | Criterion = case.criterion
        if uninformed:  # the same A
            plan_a, after = uninformed.plan_a, {path: uninformed.networks[path] for path in (A, RETRAINED)}
            chosen = AsPlanned(plan_a)
        else:
            pruned = prune(dense, points, case.criterion, compensated=case.compensated, seed=seed)
            plan_a, after = pruned.plan, {A: pruned.model, RETRAINED: on(pruned.model)}
        early = prune(initial, points, chosen, compensated=case.compensated, seed=seed)
        once = trained(early.model)
        pairs[case] = Pair({**after, B: once, TWICE: on(once)}, plan_a, early.plan)
    single = {
        (case, layer): prune(
            dense, points, case.criterion, compensated=case.compensated, seed=seed, layers=[layer]
        ).model
        for case in CASES
        if not case.informed
        for layer in HIDDEN_LAYERS
    }
    return Study(held_out, initial, controls, pairs, single)


def measure(result: Study) -> Row:
    """Every number of one seed, by a name that says of what."""
    dense = result.controls[DENSE]
    row: Row = {}
    for name, model in result.controls.items():
        row.update(_quality(name, model, result.held_out))
    start = weights(result.initial)
    other = {name: weights(result.controls[name]) for name in (OTHER_BATCHES, OTHER_WEIGHTS)}
    for name, placed in other.items():
        row[f"{name}: agreement"] = agreement(dense, result.controls[name])
        row.update(_correlations(name, weights(dense), placed, start if name == OTHER_BATCHES else None))
    row.update(_correlations("initial", weights(dense), start))
    for (case, layer), model in result.single.items():
        row.update(_quality(f"{case}: only {layer}", model, result.held_out))
    for case, pair in result.pairs.items():
        own = {path: weights(model, pair.plan(path)) for path, model in pair.networks.items()}
        for path, model in pair.networks.items():
            row.update(_quality(f"{case}: {path}", model, result.held_out))
            row[f"{case}: {path}: agreement with dense"] = agreement(model, dense)
            row.update(_correlations(f"{case}: {path}: initial", own[path], start))
        for path in (A, RETRAINED):
            name = f"{case}: {path}, B"
            row[f"{name}: agreement"] = agreement(pair.networks[path], pair.networks[B])
            row.update(_correlations(name, own[path], own[B], start))
        there = [weight.where(~removed.isnan(), math.nan) for weight, removed in zip(own[A], own[B], strict=True)]
        row.update(_correlations(f"{case}: {OTHER_BATCHES}", there, other[OTHER_BATCHES], start))
        for number, name in enumerate(WEIGHTS[:2], 1):
            remaining = [set(plan.kept_indices[name][0].tolist()) for plan in (pair.plan_a, pair.plan_b)]
            row[f"{case}: common {number}"] = len(remaining[0] & remaining[1])
    return row


def _quality(name: str, model: nn.Module, points: Points) -> Row:
    answers = decide(model, points.inputs)
    right = ((answers > 0) == (points.labels > 0.5)).double().mean()
    return {
        f"{name}: accuracy": 100 * float(right),
        f"{name}: loss": float(binary_cross_entropy_with_logits(answers, points.labels)),
    }


def decide(model: nn.Module, inputs: Tensor) -> Tensor:
    """What the network answers, above 0 for the second arm: (n, 1)."""
    with torch.no_grad():
        answers: Tensor = model(inputs)
    return answers


def grid() -> tuple[Tensor, Tensor]:
    """Points of a square, (n, 2), row by row, and which of them lie in the disc of the spiral, (n,)."""
    side = torch.linspace(-RADIUS, RADIUS, GRID)
    inputs = torch.cartesian_prod(side, side).flip(1)
    return inputs, inputs.norm(dim=1) <= RADIUS


def agreement(one: nn.Module, other: nn.Module) -> float:
    """Percent of the grid points in the disc that both networks put on the same arm."""
    inputs, inside = grid()
    same = (decide(one, inputs[inside]) > 0) == (decide(other, inputs[inside]) > 0)
    return 100 * float(same.double().mean())


def weights(model: nn.Module, plan: Plan | None = None) -> list[Tensor]:
    """The weights of each layer where they were in the dense network; NaN where ``plan`` removed them."""
    state = model.state_dict()
    placed = []
    for name in WEIGHTS:
        if plan is None:
            placed.append(state[name].double())
            continue
        shape = plan.shapes[name]
        rows, columns = (plan.kept_indices[name].get(dim, torch.arange(size)) for dim, size in enumerate(shape))
        placed.append(torch.full(shape, math.nan, dtype=torch.float64))
        placed[-1][rows[:, None], columns] = state[name].double()
    return placed


def correlation(one: Tensor, other: Tensor) -> float:
    """Pearson's, over the weights that are in both; NaN where there are under three, or all are alike."""
    both = ~(one.isnan() | other.isnan())
    pair = torch.stack((one[both], other[both]))
    if pair.shape[1] < 3 or bool((pair.std(1) == 0).any()):
        return math.nan
    return float(torch.corrcoef(pair)[0, 1])


def _correlations(
    name: str, one: Sequence[Tensor], other: Sequence[Tensor], initial: Sequence[Tensor] | None = None
) -> Row:
    """By layer: of the weights, and of what training changed of them from ``initial`` on."""
    row: Row = {}
    for layer, (left, right) in enumerate(zip(one, other, strict=True), 1):
        row[f"{name}: r {layer}"] = correlation(left, right)
        if initial is not None:
            start = initial[layer - 1]
            row[f"{name}: change {layer}"] = correlation(left - start, right - start)
    return row


def report(rows: Sequence[Row], arguments: argparse.Namespace, seconds: float) -> str:
    """The tables, in Markdown."""
    cell = Cells(rows)
    seeds = " ".join(map(str, arguments.seeds))
    command = f"python scripts/study_spiral.py --seeds {seeds} --steps {arguments.steps}"
    text = f"""`{command}`:
mean ± standard deviation over {len(rows)} seeds. {TRAIN:,} points to train and prune with, {HELD_OUT:,} held out.
{arguments.steps:,} steps of {BATCH} points, Adam, learning rate {LEARNING_RATE} along a cosine to 0.
*Trained on*: as many steps again, other batches, the same schedule.

EdgePrune {edgeprune.__version__}, torch {torch.__version__}, matplotlib {mpl.__version__}, Python
{platform.python_version()}, {processor()}, {torch.get_num_threads()} threads, {seconds:.0f} s."""
    tables = {
        "Accuracy on held-out points, %": _by_path(cell, "accuracy", ".1f"),
        "Loss on held-out points": _by_path(cell, "loss", ".2f"),
        "Accuracy of A when only one hidden layer is pruned, %": _single(cell),
        "Difference of accuracy, seed by seed, points": _differences(cell),
        "Decisions that agree, % of a grid in the disc": _agreements(cell),
        "Correlation of each weight in A with the same weight in B": _pairs(cell),
        "Correlation with the initial weights": _with_initial(cell),
    }
    lines = text.splitlines()
    for title, table in tables.items():
        lines += ["", f"### {title}", "", *table]
    return "\n".join(lines)


def _by_path(cell: Cells, what: str, unit: str) -> list[str]:
    cells = {name: cell(f"{name}: {what}", unit) for name in (DENSE, DENSE_ON, SMALL, SMALL_ON)}
    text = f"""Dense {cells[DENSE]}, trained on {cells[DENSE_ON]}. A 2-25-25-1 network from an initialization of its own
{cells[SMALL]}, trained on {cells[SMALL_ON]}."""
    body = [[str(case), *(cell(f"{case}: {path}: {what}", unit) for path in PATHS)] for case in CASES]
    return [*text.splitlines(), "", *_table(["", *PATHS], body)]


def _single(cell: Cells) -> list[str]:
    body = [
        [
            str(case).replace(", at init", ""),
            *(cell(f"{case}: only {layer}: accuracy", ".1f") for layer in HIDDEN_LAYERS),
            cell(f"{case}: {A}: accuracy", ".1f"),
        ]
        for case in CASES
        if not case.informed
    ]
    return _table(["", "first", "second", "both"], body)


def _differences(cell: Cells) -> list[str]:
    body = [[name, *cell.compared(one, other)] for name, one, other in _comparisons()]
    return _table(["", "difference", "seeds better", "seeds worse"], body)


def _agreements(cell: Cells) -> list[str]:
    keys = [f"{A}, B: agreement", f"{RETRAINED}, B: agreement"]
    keys += [f"{path}: agreement with dense" for path in (A, RETRAINED, B)]
    body = [[str(case), *(cell(f"{case}: {key}", ".1f") for key in keys)] for case in CASES]
    same, other = (cell(f"{name}: agreement", ".1f") for name in (OTHER_BATCHES, OTHER_WEIGHTS))
    text = f"Dense beside itself trained on other batches {same}, beside another initialization {other}."
    head = ["", "A, B", "A trained on, B", "A, dense", "A trained on, dense", "B, dense"]
    return [text, "", *_table(head, body)]


def _pairs(cell: Cells) -> list[str]:
    named: list[tuple[str, str, str]] = []
    for case in CASES:
        common = ", ".join(cell(f"{case}: common {layer}", ".1f", spread=False) for layer in (1, 2))
        named.append((f"{case}: A, B", common, f"{case}: {A}, B"))
        if not case.compensated:
            named.append((f"{case}: A trained on, B", common, f"{case}: {RETRAINED}, B"))
            named.append((f"{case}: A, other batches", common, f"{case}: {OTHER_BATCHES}"))
    named += [(f"dense; {name}", f"{HIDDEN}, {HIDDEN}", name) for name in (OTHER_BATCHES, OTHER_WEIGHTS)]
    body = [[title, units, *cell.layers(name, "r"), *cell.layers(name, "change")] for title, units, name in named]
    text = """*Changes*: with the initial weight taken off both. *A, other batches*: the control, A beside the dense
network trained on other batches, over the same weights as A beside B."""
    head = ["", "units in both", "r, layer 1", "2", "3", "r of changes, layer 1", "2", "3"]
    return [*text.splitlines(), "", *_table(head, body)]


def _with_initial(cell: Cells) -> list[str]:
    body = [
        [f"{case}: {'A trained on' if path == RETRAINED else path}", *cell.layers(f"{case}: {path}: initial", "r")]
        for case in CASES
        if not case.compensated
        for path in (A, RETRAINED, B)
        if path == B or not case.informed
    ]
    return _table(["", "layer 1", "2", "3"], [*body, [DENSE, *cell.layers("initial", "r")]])


class Cells:
    """Numbers over all seeds, as a table shows them."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def __call__(self, name: str, text: str, *, spread: bool = True) -> str:
        """The mean, and the standard deviation where there are several seeds; - where there is no number."""
        return self._cell([row.get(name, math.nan) for row in self._rows], text, spread=spread)

    def layers(self, name: str, kind: str) -> list[str]:
        """Of each layer."""
        return [self(f"{name}: {kind} {layer}", ".2f") for layer in (1, 2, 3)]

    def compared(self, one: str, other: str) -> list[str]:
        """By how much the accuracy of ``one`` is above that of ``other``; in how many seeds it is above, and below."""
        differences = [row[f"{one}: accuracy"] - row[f"{other}: accuracy"] for row in self._rows]
        counts = (sum(difference > 0 for difference in differences), sum(difference < 0 for difference in differences))
        return [self._cell(differences, "+.1f"), *map(str, counts)]

    @staticmethod
    def _cell(values: Sequence[float], text: str, *, spread: bool = True) -> str:
        available = [value for value in values if not math.isnan(value)]
        if not available:
            return "-"
        deviation = (
            f" ±{format(statistics.stdev(available), text.lstrip('+'))}" if spread and len(available) > 1 else ""
        )
        return f"{format(statistics.mean(available), text)}{deviation}"


def _comparisons() -> list[tuple[str, str, str]]:
    """What is compared seed by seed: a title, the name of the one and of the other."""
    results = []
    for case in CASES[::2]:
        results.append((f"{case}: A trained on - B trained on", f"{case}: {RETRAINED}", f"{case}: {TWICE}"))
        results.append((f"{case}: B - 2-25-25-1 of its own", f"{case}: {B}", SMALL))
    for case, bias in zip(CASES[::2], CASES[1::2], strict=True):
        for path in (B,) if case.informed else (A, RETRAINED, B):
            title = f"{case}: {'A trained on' if path == RETRAINED else path}, with bias - without"
            results.append((title, f"{bias}: {path}", f"{case}: {path}"))
    random, early, informed = CASES[::2]
    results += [
        ("A, `activation_std` - `random`", f"{early}: {A}", f"{random}: {A}"),
        ("A trained on, `activation_std` - `random`", f"{early}: {RETRAINED}", f"{random}: {RETRAINED}"),
        ("B, `activation_std` at init - `random`", f"{early}: {B}", f"{random}: {B}"),
        ("B, `activation_std` informed - at init", f"{informed}: {B}", f"{early}: {B}"),
    ]
    return results


def _table(head: list[str], body: list[list[str]]) -> list[str]:
    rule = "|---|" + "---:|" * (len(head) - 1)
    return ["| " + " | ".join(head) + " |", rule, *("| " + " | ".join(cells) + " |" for cells in body)]


def draw_decisions(result: Study, path: Path, seed: int) -> None:
    """What every network of ``result`` answers within the disc: controls above, then a row for each way to pick."""
    figure = Figure(figsize=(12, 10.6), layout="constrained")
    figure.suptitle(f"Seed {seed}: accuracy on held-out points, and agreement with the dense network", fontsize=12)
    panels = figure.subplots(4, 5)
    _points(panels[0, 0], result.held_out)
    controls = {**result.controls, "2-25-25-1 of its own": result.controls[SMALL]}
    for panel, name in zip(panels[0, 1:], (DENSE, OTHER_BATCHES, OTHER_WEIGHTS, "2-25-25-1 of its own"), strict=True):
        _decisions(panel, name, controls[name], result)
    titles = ("A: trained, then pruned", "A + bias", "A, trained on", "B: pruned, then trained", "B + bias")
    for row, case, bias in zip(panels[1:], CASES[::2], CASES[1::2], strict=True):
        without, compensated = result.pairs[case].networks, result.pairs[bias].networks
        models = (without[A], compensated[A], without[RETRAINED], without[B], compensated[B])
        for panel, title, model in zip(row, titles, models, strict=True):
            _decisions(panel, title, model, result)
    for panel, name in zip(panels[:, 0], ("not pruned", *map(_named, CASES[::2])), strict=True):
        panel.set_ylabel(name, fontsize=10)
    for panel in panels.flat:
        panel.set(xlim=(-RADIUS, RADIUS), ylim=(-RADIUS, RADIUS), aspect="equal", xticks=[], yticks=[])
        panel.spines[:].set_visible(False)
    figure.savefig(path, dpi=100)


def _named(case: Case) -> str:
    if case.criterion == "random":
        return "random, same units"
    return "activation std,\nB keeps what A keeps" if case.informed else "activation std,\neach path picks"


def _points(panel: Axes, points: Points) -> None:
    panel.set_title("held-out points", fontsize=9)
    for arm, color in enumerate((BLUE, ORANGE)):
        x, y = points.inputs[points.labels[:, 0] == arm][:600].T.numpy()
        panel.scatter(x, y, s=1.5, color=color, linewidths=0)


def _decisions(panel: Axes, title: str, model: nn.Module, result: Study) -> None:
    inputs, _ = grid()
    picture = decide(model, inputs).sigmoid().reshape(GRID, GRID).numpy()
    side = inputs[:GRID, 0].numpy()
    colormap = LinearSegmentedColormap.from_list("arms", [BLUE, "white", ORANGE])
    bands = panel.contourf(side, side, picture, levels=[band / 20 for band in range(21)], cmap=colormap)
    bands.set_clip_path(Circle((0, 0), RADIUS, transform=panel.transData))
    accuracy = _quality("", model, result.held_out)[": accuracy"]
    dense = result.controls[DENSE]
    same = "" if model is dense else f", {agreement(model, dense):.0f} % as dense"
    panel.set_title(f"{title}\n{accuracy:.1f} %{same}", fontsize=9)


def draw_weights(result: Study, path: Path, seed: int) -> None:
    """Each weight that is in both A and B, one against the other; below, dense beside itself on other batches."""
    rows = [(_named(case), "A", "B", *_placed(result.pairs[case])) for case in CASES[::2]]
    with_bias = [_placed(result.pairs[case]) for case in CASES[1::2]]
    controls = [weights(result.controls[name]) for name in (DENSE, OTHER_BATCHES)]
    rows.append(("not pruned, dense twice", DENSE, OTHER_BATCHES, controls[0], controls[1]))
    figure = Figure(figsize=(9.5, 12.4), layout="constrained")
    figure.suptitle(f"Seed {seed}: each weight on one path, and the same weight on the other", fontsize=12)
    for index, (panels, (title, across, up, one, other)) in enumerate(zip(figure.subplots(4, 3), rows, strict=True)):
        for layer, panel in enumerate(panels):
            left, right = one[layer].flatten(), other[layer].flatten()
            both = ~(left.isnan() | right.isnan())
            limit = 1.05 * float(torch.cat((left[both], right[both])).abs().max())
            panel.axline((0, 0), slope=1, color=GREY, linewidth=0.8)
            size = 6 if int(both.sum()) > 200 else 16
            panel.scatter(left[both].numpy(), right[both].numpy(), s=size, color=BLUE, alpha=0.45, linewidths=0)
            panel.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
            r = f"r = {correlation(left, right):.2f}"
            if index < len(with_bias):
                r += f", with bias {correlation(*(placed[layer] for placed in with_bias[index])):.2f}"
            panel.set_title(f"layer {layer + 1}, {int(both.sum())} weights\n{r}", fontsize=9)
            panel.set_xlabel(across, fontsize=8.5)
            panel.tick_params(labelsize=7)
        panels[0].set_ylabel(f"{title}\n\n{up}", fontsize=9)
    figure.savefig(path, dpi=100)


def _placed(pair: Pair) -> tuple[list[Tensor], list[Tensor]]:
    return weights(pair.networks[A], pair.plan_a), weights(pair.networks[B], pair.plan_b)


if __name__ == "__main__":
    main()
