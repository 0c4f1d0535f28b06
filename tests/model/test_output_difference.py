"""The one definition of how far two variants of a network are from each other."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from edgeprune.model.output_difference import distance, tensors

_INF, _NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("expected", "got", "far"),
    [
        ([1.0, 4.0], [1.0, 5.0], 0.25),
        ([0.0, 0.0], [0.0, 0.5], 0.5),
        ([2.0, -_INF], [2.0, -_INF], 0.0),
        ([2.0, -_INF], [3.0, -_INF], 0.5),
        ([2.0, -_INF], [2.0, _INF], _INF),
        ([2.0, -_INF], [2.0, -9e9], _INF),
        ([2.0, 1.0], [2.0, _NAN], _INF),
        ([2.0, _NAN], [2.0, _NAN], _INF),
        ([True, False, True, False], [True, False, True, True], 0.25),
        ([3, 4], [3, 4], 0.0),
        ([3, 4], [3, 5], 0.5),
        ([3, 4], [3.0, 4.0], _INF),
        ([], [], 0.0),
        ([[1.0]], [1.0], _INF),
    ],
)
def test_distance_is_relative_to_the_output(expected: list[float], got: list[float], far: float) -> None:
    assert distance([torch.tensor(expected)], [torch.tensor(got)]) == far


def test_distance_is_of_the_worst_output() -> None:
    one = torch.ones(2)
    assert distance([one, 10 * one], [one, 11 * one]) == pytest.approx(0.1)
    assert distance([one, one], [one]) == _INF
    assert distance([], []) == 0
    assert distance([1e-6 * one], [2e-6 * one], smallest=1e-3) == pytest.approx(1e-3)
    assert distance([torch.tensor([_NAN])], [torch.tensor([_NAN])], nan_equal=True) == 0
    assert distance([torch.tensor([1j])], [torch.tensor([2j])]) == 1


def test_all_tensors_count() -> None:
    result: list[Tensor] = tensors({"a": torch.ones(1), "b": [torch.zeros(0), 3, torch.tensor(True)]})
    assert [one.dtype for one in result] == [torch.float32, torch.float32, torch.bool]
