"""Calibration samples: as many as asked for, the same at every pass, never augmented."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgeprune.model.data import TensorSplit
from edgeprune.model.splits import Augment
from edgeprune.quantize.calibration_samples import CalibrationSamples


def _split(count: int) -> TensorSplit:
    images = torch.arange(count, dtype=torch.float32)[:, None, None, None].expand(-1, 1, 4, 4)
    return TensorSplit(images, torch.zeros(count, dtype=torch.int64), augment=Augment(crop_padding=2))


def _drawn(split: TensorSplit, count: int, seed: int = 0) -> list[int]:
    samples = CalibrationSamples(split, count, seed)
    values = list(samples)
    assert samples.check((1, 4, 4)) == len(values)
    assert {(one.shape, one.dtype.name) for one in values} <= {((1, 1, 4, 4), "float32")}
    assert all(np.ptp(one) == 0 for one in values)  # a crop would bring zeros in
    return [int(one[0, 0, 0, 0]) for one in values]


@pytest.mark.parametrize(("there", "requested", "inputs"), [(100, 1, 1), (100, 33, 33), (100, 64, 64), (20, 64, 20)])
def test_requested_number_of_samples_is_drawn_without_repetition(there: int, requested: int, inputs: int) -> None:
    samples = _drawn(_split(there), requested)
    assert len(set(samples)) == len(samples) == inputs


def test_the_seed_decides_which() -> None:
    split = _split(100)
    assert _drawn(split, 32, seed=3) == _drawn(split, 32, seed=3)
    assert _drawn(split, 32, seed=3) != _drawn(split, 32, seed=4)
