"""Nodes that stay float: the worst first, as few as needed, and what is told where that does not help."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeprune.quantize import AccuracyBudget, quantize
from edgeprune.quantize.mixed_precision import MixedPrecision, fewest
from tests.quantize.digits import accuracy, digits, executed, trained, unequal, write


@pytest.mark.parametrize("needed", [1, 2, 3, 7, 13, 20])
def test_the_fewest_nodes_that_keep_the_budget_are_found_in_few_steps(needed: int) -> None:
    tried = []

    def measured(count: int) -> float:
        tried.append(count)
        return 0.9 if count >= needed else 0.5

    result = fewest(40, measured, quantized=0.4, lowest=0.8)
    assert result == MixedPrecision(needed, 0.9, meets_budget=True)
    assert len(tried) <= 6


def test_no_more_than_half_of_the_nodes_stay_float() -> None:
    assert fewest(40, lambda count: count / 100, quantized=0.0, lowest=0.5) == MixedPrecision(
        20, 0.2, meets_budget=False
    )
    assert fewest(1, lambda _: 1.0, quantized=0.3, lowest=0.5) == MixedPrecision(0, 0.3, meets_budget=False)


def test_no_float_nodes_are_tried_if_the_budget_holds() -> None:
    assert fewest(40, lambda _: pytest.fail("not needed"), quantized=0.9, lowest=0.9) == MixedPrecision(
        0, 0.9, meets_budget=True
    )


@pytest.mark.long
def test_the_harmful_nodes_of_a_network_stay_float_and_the_budget_is_kept(tmp_path: Path) -> None:
    source = write(unequal(trained()), tmp_path / "float.onnx")
    exact = accuracy(source)
    budget = AccuracyBudget(drop=0.01, float_accuracy=exact, accuracy=accuracy)
    result = quantize(source, tmp_path / "int8.onnx", digits().train, budget=budget)
    assert result.meets_budget
    assert result.accuracy == accuracy(result.path) >= exact - 0.01
    assert {"/depthwise/depthwise.0/Conv", "/pointwise/pointwise.0/Conv"} <= {node.name for node in result.float_nodes}
    errors = [node.error for node in result.float_nodes]
    assert errors == sorted(errors, reverse=True)
    assert min(errors) > 0
    ran = executed(result.path, tmp_path)
    assert ran["Conv"] + ran["FusedConv"] + ran["Gemm"] == len(result.float_nodes)
    assert ran["QLinearConv"] > 0


@pytest.mark.long
def test_unreachable_accuracy_budget_is_reported(tmp_path: Path) -> None:
    source = write(trained(), tmp_path / "float.onnx")
    budget = AccuracyBudget(drop=0.0, float_accuracy=1.5, accuracy=accuracy)
    result = quantize(source, tmp_path / "int8.onnx", digits().train, budget=budget)
    assert not result.meets_budget
    assert result.accuracy == accuracy(result.path)


@pytest.mark.long
def test_every_node_is_quantized_if_the_accuracy_budget_holds(tmp_path: Path) -> None:
    source = write(trained(), tmp_path / "float.onnx")
    budget = AccuracyBudget(drop=0.02, float_accuracy=accuracy(source), accuracy=accuracy)
    result = quantize(source, tmp_path / "int8.onnx", digits().train, budget=budget)
    plain = quantize(source, tmp_path / "plain.onnx", digits().train)
    assert (result.meets_budget, result.float_nodes) == (True, ())
    assert result.path.read_bytes() == plain.path.read_bytes()
