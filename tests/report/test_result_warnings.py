"""Warnings about the result of a build: when there is one, with which values, and what it suggests."""

from __future__ import annotations

from typing import Any

import pytest

from edgeprune.bundle.budget_report import BudgetReport
from edgeprune.bundle.manifest import Manifest, PairsReport
from edgeprune.bundle.pruning_report import TrainingReport
from edgeprune.report import report_page
from edgeprune.report.result_warnings import result_warnings
from edgeprune.report.training_text import advice
from tests.report import samples


def _manifest(dense: float, shipped: float, *, count: int = 400, **changes: Any) -> Manifest:
    whole = samples.manifest()
    networks = {
        name: getattr(whole.metrics, name).model_copy(update={"accuracy": accuracy, "samples": count})
        for name, accuracy in (("dense", dense), ("pruned", shipped), ("shipped", shipped))
    }
    return whole.model_copy(update={"metrics": whole.metrics.model_copy(update=networks), **changes})


def _codes(manifest: Manifest) -> list[str]:
    return [warning.code for warning in result_warnings(manifest)]


def test_a_significant_loss_of_accuracy_is_a_warning_with_its_interval() -> None:
    (warning,) = result_warnings(_manifest(0.93, 0.8225))
    assert warning.code == "accuracy_lost"
    assert warning.values["drop"] == pytest.approx(0.1075)
    assert 0 < float(warning.values["low"]) < 0.1075 < float(warning.values["high"])
    assert any("--criterion" in suggestion for suggestion in warning.suggestions)
    assert any("--budget macs=0.6" in suggestion for suggestion in warning.suggestions)


def test_accuracy_warning_needs_a_significant_drop_of_paired_samples() -> None:
    assert _codes(_manifest(0.93, 0.92)) == []
    assert _codes(_manifest(0.93, 0.905)) == []
    assert _codes(_manifest(0.93, 0.905, pairs=PairsReport(only_dense=11, only_shipped=1))) == ["accuracy_lost"]
    assert _codes(_manifest(0.93, 0.905, pairs=PairsReport(only_dense=40, only_shipped=30))) == []


def test_a_gain_is_no_warning() -> None:
    assert _codes(_manifest(0.8, 0.93)) == []


@pytest.mark.parametrize(("shipped", "codes"), [(0.88, []), (0.8, ["accuracy_lost"])])
def test_another_metric_may_lose_a_twentieth_of_its_value(shipped: float, codes: list[str]) -> None:
    assert _codes(_manifest(0.9, shipped, metric="mean_iou")) == codes


def _budgets(*used: float) -> tuple[BudgetReport, ...]:
    names = ("macs", "params")
    return tuple(
        BudgetReport(name=name, limit=1_000_000, value=1_000_000 * share, ok=True)
        for name, share in zip(names, used, strict=False)
    )


@pytest.mark.parametrize(
    ("used", "codes"), [((0.94,), ["budget_unused"]), ((0.96,), []), ((0.5, 0.96), []), ((0.5, 0.9), ["budget_unused"])]
)
def test_unused_budget_warning_uses_the_tightest_budget(used: tuple[float, ...], codes: list[str]) -> None:
    manifest = _manifest(0.93, 0.93, budgets=_budgets(*used))
    assert _codes(manifest) == codes
    if codes:
        assert result_warnings(manifest)[0].values["used"] == pytest.approx(max(used))


def test_a_network_that_fits_as_it_is_leaves_its_budget_without_a_warning() -> None:
    manifest = _manifest(0.93, 0.93, budgets=_budgets(0.5))
    metrics = manifest.metrics
    whole = metrics.model_copy(update={"pruned": metrics.dense, "shipped": metrics.dense})
    assert _codes(manifest.model_copy(update={"metrics": whole})) == []


_RISING = TrainingReport(
    optimizer="sgd", distilled=True, epochs=10, batch_size=32, lr=0.1, accuracy=0.8, best_epoch=10, still_rising=True
)


@pytest.mark.parametrize(("training", "suggestion"), [(None, "training.epochs=auto"), (_RISING, "--epochs 20")])
def test_warning_suggests_a_remedy_by_the_training(training: TrainingReport | None, suggestion: str) -> None:
    (warning,) = result_warnings(_manifest(0.93, 0.82, training=training))
    assert any(suggestion in text for text in warning.suggestions)


def test_accuracy_loss_is_in_the_report_summary() -> None:
    def head(manifest: Manifest) -> str:
        return report_page.render(manifest, samples.facts()).partition("<body")[2].partition("<main")[0]

    manifest = _manifest(0.93, 0.8225)
    assert result_warnings(manifest)[0].message in head(manifest)
    assert "⚠" not in head(_manifest(0.93, 0.93))


def test_kept_start_is_that_of_the_last_phase() -> None:
    settings = {
        "optimizer": "sgd",
        "distilled": True,
        "epochs": 10,
        "batch_size": 32,
        "lr": 0.1,
        "accuracy": 0.8,
        "best_epoch": 0,
        "still_rising": False,
    }
    assert "the network before training" in (advice(TrainingReport(**settings)) or "")
    assert "in the last of 3 training phases" in (advice(TrainingReport(**settings, phases=3)) or "")
