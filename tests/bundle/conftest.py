"""A manifest to pack."""

from __future__ import annotations

import pytest

from edgeprune.bundle.budget_report import BudgetReport
from edgeprune.bundle.manifest import AllMetrics, Manifest, Metrics, Provenance
from edgeprune.bundle.parity_report import ParityReport


@pytest.fixture
def manifest() -> Manifest:
    return example()


def example() -> Manifest:
    """A manifest without files."""
    return Manifest(
        recipe="digits",
        target="host",
        metrics=AllMetrics(
            dense=Metrics(macs=1000, params=100, accuracy=0.99, file_bytes=4000),
            pruned=Metrics(macs=499, params=60, accuracy=0.98),
            shipped=Metrics(macs=499, params=60, accuracy=0.98, file_bytes=2400),
        ),
        parity=ParityReport(max_error=1e-6, mean_error=1e-7, relative_error=1e-6, top1_agreement=1.0, samples=64),
        budgets=(BudgetReport(name="macs", limit=500, value=499, margin=1, ok=True),),
        provenance=Provenance(packages={"torch": "2.13.0"}, python="3.11.7", seed=0, inputs={"weights": "0" * 64}),
    )
