"""What a session says of its network."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeprune import criteria, selection
from edgeprune.config import Budget
from edgeprune.cost import cost_model
from edgeprune.graph import Units
from edgeprune.schedules import PruningSession
from edgeprune.schedules.session_options import Choice
from edgeprune.statistics import Samples
from tests.schedules.tiny import IMAGE, small, split


def _loss(outputs: Tensor, targets: dict[str, Tensor]) -> Tensor:
    return functional.cross_entropy(outputs, targets["classes"]) + 0 * targets["weights"].sum()


def test_session_loss_is_the_mean_over_samples() -> None:
    images, labels = next(split(count=10).batches(10))
    parts = [
        (part, {"classes": label, "weights": torch.ones(2)})
        for part, label in zip(images.split([7, 3]), labels.split([7, 3]), strict=True)
    ]
    model = small()
    session = PruningSession(
        model,
        (torch.zeros(1, *IMAGE),),
        Budget(macs=0.5),
        Choice(criteria.create("l2"), selection.create("global")),
        samples=Samples(parts, _loss),
    )
    with torch.no_grad():
        assert session.value() == pytest.approx(-float(functional.cross_entropy(model(images), labels)))


def test_selection_repeats_until_measured_limits_hold() -> None:
    requested: list[int] = []

    def measured(model: nn.Module, units: Units, removed: Tensor) -> dict[str, float]:
        cost = cost_model("macs", units, model)
        cost.remove(removed)
        requested.append(round(cost.total()))
        return {"macs": 1.3 * cost.total()}  # more than the model knows

    def session(measure: Callable[[nn.Module, Units, Tensor], dict[str, float]] | None) -> PruningSession:
        choice = Choice(criteria.create("l2"), selection.create("global"), measured=measure)
        return PruningSession(small(), (torch.zeros(1, *IMAGE),), Budget(macs=0.5), choice)

    plain, careful = session(None), session(measured)
    careful.choose(careful.score())
    dense = cost_model("macs", plain.units, plain.model)
    limit = 0.5 * dense.total()
    dense.remove(plain.choose(plain.score()))
    assert requested[0] == round(dense.total())
    assert 1.3 * requested[0] > limit >= 1.3 * requested[-1]
    assert len(requested) > 1
