"""Comparing several ways to choose what is removed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import edgeprune as ep
from edgeprune import candidates
from edgeprune.candidates import Candidate, CandidateResult, Score, best, combinations, compare, score
from edgeprune.errors import BudgetError
from edgeprune.graph import RewrittenModel
from edgeprune.statistics import Samples
from edgeprune.statistics.held_out import held_out


class _Named(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.fit = name, False


@dataclass
class _Widths:
    """A trial over networks without layers: the criterion of a candidate names its plan and its losses."""

    losses: dict[str, float]
    trained_losses: dict[str, float] = field(default_factory=dict)
    trained: list[int] = field(default_factory=list)

    def plan(self, candidate: Candidate) -> tuple[float, Tensor]:
        if candidate.criterion not in self.losses:
            raise BudgetError("too small", {"macs": 7})
        removed = torch.zeros(8, dtype=torch.bool)
        removed[list(self.losses).index(candidate.criterion)] = True
        return 0.5, removed

    def build(self, removed: Tensor) -> RewrittenModel:
        return RewrittenModel(_Named(list(self.losses)[int(removed.nonzero())]), {}, "module", ())

    def score(self, model: nn.Module) -> Score:
        assert isinstance(model, _Named)
        return Score((self.trained_losses if model.fit else self.losses)[model.name])

    def train(self, number: int, rewritten: RewrittenModel) -> bool:
        if not self.trained_losses:
            return False
        self.trained.append(number)
        assert isinstance(rewritten.model, _Named)
        rewritten.model.fit = True
        return True


def _ways(*names: str) -> tuple[Candidate, ...]:
    return tuple(Candidate(name) for name in names)


def test_the_lowest_loss_is_chosen_of_plans_that_differ() -> None:
    results = compare(_ways("a", "b", "out of reach", "a", "c"), _Widths({"a": 0.3, "b": 0.1, "c": 0.2}))
    assert [result.candidate.criterion for result in results] == ["a", "b", "c"]
    assert [result.chosen for result in results] == [False, True, False]
    assert {result.macs for result in results} == {0.5}


@pytest.mark.parametrize(("locked", "chosen"), [("a", "a"), ("b", "b"), ("gone", "b"), (None, "b")])
def test_a_locked_candidate_is_chosen_whatever_its_loss(locked: str | None, chosen: str) -> None:
    trial = _Widths({"a": 0.3, "b": 0.1})
    results = compare(_ways("a", "b"), trial, locked=None if locked is None else Candidate(locked))
    assert [result.candidate.criterion for result in results if result.chosen] == [chosen]


def test_a_locked_candidate_counts_among_those_that_remove_the_same() -> None:
    twins = (Candidate("a", align=8), Candidate("a", align=1), Candidate("b"))
    trial = _Widths({"a": 0.3, "b": 0.1})
    results = compare(twins, trial, locked=twins[1])
    assert [(result.candidate, result.chosen) for result in results] == [(twins[1], True), (twins[2], False)]


def test_a_budget_that_no_candidate_reaches_is_an_error() -> None:
    with pytest.raises(BudgetError) as caught:
        compare(_ways("a", "b"), _Widths({}))
    assert caught.value.nearest == {"macs": 7}


def test_only_finalists_are_trained_and_the_best_of_both_scores_counts() -> None:
    trial = _Widths({"a": 0.3, "b": 0.1, "c": 0.2}, {"a": 0.0, "b": 0.4, "c": 0.05})
    results = compare(_ways("a", "b", "c"), trial)
    assert trial.trained == [1, 2]
    assert [None if result.trained is None else result.trained.loss for result in results] == [None, 0.4, 0.05]
    assert [result.chosen for result in results] == [False, False, True]
    trial = _Widths({"a": 0.3, "b": 0.1, "c": 0.2}, {"a": 0.0, "b": 0.4, "c": 0.15})
    assert [result.chosen for result in compare(_ways("a", "b", "c"), trial)] == [False, True, False]


@pytest.mark.parametrize(("shift", "chosen"), [(0.02, 1), (0.5, 0)])
def test_an_aligned_plan_wins_within_the_noise_of_the_samples(shift: float, chosen: int) -> None:
    rng = torch.Generator().manual_seed(0)
    free = torch.rand(16, generator=rng)
    aligned = free + shift + 0.2 * torch.randn(16, generator=rng)
    results = [
        CandidateResult(Candidate("l2", align=align), 0.5, Score(float(losses.mean()), None, tuple(losses.tolist())))
        for align, losses in ((1, free), (8, aligned))
    ]
    assert float(aligned.mean()) > float(free.mean())
    assert best(results) == chosen


def test_auto_tries_every_combination_and_a_name_fixes_its_axis() -> None:
    every = combinations(criterion="auto", selection="auto", aligns=(1, 8), data=True)
    assert len(every) == len(set(every)) == len(candidates.CRITERIA) * len(candidates.BALANCES) * 2
    assert every[0].align == 8
    named = combinations(criterion="taylor", selection="knapsack", aligns=(1, 8), data=True)
    assert named == (Candidate("taylor", "knapsack", None, 8), Candidate("taylor", "knapsack", None, 1))
    assert combinations(criterion="auto", selection="auto", aligns=(8, 1), data=False) == (Candidate("l2"),)
    hidden = combinations(criterion="auto", selection="auto", aligns=(1,), data=True, labels=False)
    assert {candidate.criterion for candidate in hidden} == {"l2"}


def test_score_is_the_mean_over_samples_and_marks_broken_networks() -> None:
    model = nn.Linear(2, 3)
    batches = [(torch.randn(count, 2), torch.zeros(count, dtype=torch.int64)) for count in (4, 12)]
    result = score(model, Samples(batches))
    inputs, labels = (torch.cat(part) for part in zip(*batches, strict=True))
    assert result.loss == pytest.approx(float(nn.functional.cross_entropy(model(inputs), labels).detach()))
    assert result.accuracy == float((model(inputs).argmax(1) == 0).float().mean())
    assert len(result.losses) == 2
    with torch.no_grad():
        model.weight.fill_(float("nan"))
    assert score(model, Samples(batches)).loss == float("inf")
    pairs = [(torch.randn(4, 2), torch.randn(4, 3))]
    assert score(nn.Linear(2, 3), Samples(pairs, nn.functional.mse_loss)).accuracy is None


def test_accuracy_of_a_map_of_classes_leaves_ignored_labels_out() -> None:
    model = nn.Conv1d(2, 3, 1)
    inputs, labels = torch.randn(6, 2, 5), torch.randint(3, (6, 5))
    labels[:, :2] = -100
    right = (model(inputs).argmax(1) == labels).sum()
    assert score(model, Samples([(inputs[:4], labels[:4]), (inputs[4:], labels[4:])])).accuracy == float(right / 18)
    assert score(model, Samples([(inputs, torch.randn(6, 3, 5))], nn.functional.mse_loss)).accuracy is None


def test_held_out_batches_are_not_used_to_choose() -> None:
    batches = [(torch.full((2, 1), float(number)), torch.zeros(2)) for number in range(6)]
    used, compared = ([float(args[0][0, 0]) for args, _, _ in part] for part in held_out(Samples(batches), None))
    assert (used, compared) == ([0.0, 2.0, 3.0, 4.0], [1.0, 5.0])
    whole, own = held_out(Samples(batches), batches[:1])
    assert len(list(whole)) == 6
    assert len(list(own)) == 1
    alone, again = held_out(Samples(batches[:1]), None)
    assert len(list(alone)) == len(list(again)) == 1


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(6, 32), nn.Linear(32, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.second(self.first(x).relu()).relu())
        return y


def _labelled() -> tuple[nn.Module, list[Any]]:
    """A network and batches with the labels that it gives itself."""
    torch.manual_seed(0)
    model = _Net()
    inputs = torch.randn(256, 6)
    with torch.no_grad():
        labels = model(inputs).argmax(1)
    return model, list(zip(torch.split(inputs, 16), torch.split(labels, 16), strict=True))


@pytest.mark.long
def test_prune_compares_candidates_and_uses_the_best() -> None:
    model, data = _labelled()
    example = (data[0][0],)
    pruned = ep.prune(model, example, budget={"macs": 0.4}, data=data, options={"repair": ()})
    results = pruned.candidates
    assert len(results) > 1
    (chosen,) = [result for result in results if result.chosen]
    assert chosen.repaired.loss <= min(result.repaired.loss for result in results) or chosen.candidate.align > 1
    assert chosen.macs == pytest.approx(pruned.after.macs / pruned.before.macs)
    assert pruned.plan.origin["criterion"] == chosen.candidate.criterion
    again = ep.prune(model, example, budget={"macs": 0.4}, data=data, options={"repair": ()})
    assert again.candidates == results
    assert all(torch.equal(a, b) for a, b in zip(pruned.model.parameters(), again.model.parameters(), strict=True))


@pytest.mark.long
def test_prune_without_auto_settings_compares_no_candidates() -> None:
    model, data = _labelled()
    example = (data[0][0],)
    assert ep.prune(model, example, budget={"macs": 0.4}).candidates == ()
    pruned = ep.prune(
        model, example, budget={"macs": 0.4}, data=data, options={"criterion": "l2", "selection": "global", "align": 1}
    )
    assert pruned.candidates == ()
    fixed = ep.prune(model, example, budget={"macs": 0.4}, data=data, validation=data[:2], options={"criterion": "l1"})
    assert {result.candidate.criterion for result in fixed.candidates} == {"l1"}
