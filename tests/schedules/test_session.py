"""What a session says of its network."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from edgeprune import criteria, select
from edgeprune.config import Budget
from edgeprune.schedules import Session
from edgeprune.schedules.session import Choice
from edgeprune.statistics import Samples
from tests.schedules.tiny import IMAGE, small, split


def _loss(outputs: Tensor, targets: dict[str, Tensor]) -> Tensor:
    return functional.cross_entropy(outputs, targets["classes"]) + 0 * targets["weights"].sum()


def test_its_value_is_the_loss_of_a_sample_whatever_the_batches_and_targets() -> None:
    images, labels = next(split(count=10).batches(10))
    parts = [
        (part, {"classes": label, "weights": torch.ones(2)})
        for part, label in zip(images.split([7, 3]), labels.split([7, 3]), strict=True)
    ]
    model = small()
    session = Session(
        model,
        (torch.zeros(1, *IMAGE),),
        Budget(macs=0.5),
        Choice(criteria.create("l2"), select.create("global")),
        samples=Samples(parts, _loss),
    )
    with torch.no_grad():
        assert session.value() == pytest.approx(-float(functional.cross_entropy(model(images), labels)))
