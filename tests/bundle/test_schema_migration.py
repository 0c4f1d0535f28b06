"""Manifests and report data of schema 1, as EdgePrune 0.1 wrote them, are read like those of the current schema."""

import json
from pathlib import Path
from typing import Any

import pytest

from edgeprune.bundle.budget_report import ConstraintReport
from edgeprune.bundle.manifest import Manifest, PairsReport, PrecisionReport
from edgeprune.bundle.pruning_report import PlanReport
from edgeprune.bundle.report_data import ReportData
from edgeprune.bundle.schema_migration import migrate_manifest, migrate_report
from tests.report.samples import facts, manifest

_SEEDS = Path(__file__).parents[2] / "scripts/explore/seeds/bundle"


def test_manifest_of_schema_1_is_read() -> None:
    current = manifest().model_copy(
        update={
            "constraints": (ConstraintReport(name="latency_ms.p95", limit="9ms"),),
            "pairs": PairsReport(only_dense=2, only_shipped=1),
            "precision": PrecisionReport(shipped="int8", reason="fast", other_precisions=("float32",), candidates={}),
            "candidates": (PlanReport(criterion="l2", selection="global", macs=0.5, loss=0.1),),
        }
    )
    old = json.loads(current.to_json())
    _rename(old, constraints="gates")
    _rename(old["pairs"], only_dense="lost", only_shipped="gained")
    _rename(old["precision"], other_precisions="along")
    _rename(old["candidates"][0], selection="select")
    assert Manifest.parse(json.dumps({**old, "schema": 1}).encode(), where="manifest.json") == current


def test_report_of_schema_1_is_read(tmp_path: Path) -> None:
    old = json.loads(facts().to_json())
    _rename(old["settings"], selection="select")
    _rename(old, settings="asked", variants="forms")
    for group in old["groups"]:
        _rename(group, remaining_units="left", remaining_scores="kept", removed_scores="removed")
    for curve in old["sensitivity"]["groups"]:
        for point in curve["points"]:
            _rename(point, remaining_units="kept")
    for epoch in old["epochs"]:
        _rename(epoch, phase="stretch")
    (tmp_path / "report.json").write_text(json.dumps({**old, "schema": 1}), encoding="utf-8")
    assert ReportData.load(tmp_path) == facts()


def test_bundle_written_with_schema_1_is_read() -> None:
    assert json.loads((_SEEDS / "manifest.json").read_text(encoding="utf-8"))["schema"] == 1
    report, stored = ReportData.load(_SEEDS), json.loads((_SEEDS / "report.json").read_text(encoding="utf-8"))
    assert Manifest.load(_SEEDS).schema_version == report.schema_version == 2
    assert [group.remaining_units for group in report.groups] == [group["left"] for group in stored["groups"]]


@pytest.mark.parametrize("migrate", [migrate_manifest, migrate_report])
@pytest.mark.parametrize(
    "values",
    [None, [], {}, {"schema": "1"}, {"schema": True}, {"schema": 2, "gates": 1}, {"schema": 3}],
)
def test_values_of_another_schema_are_unchanged(migrate: Any, values: Any) -> None:
    assert migrate(values) == values


@pytest.mark.parametrize("part", [None, 3, "text", [1, None], {"groups": 4, "points": [{}]}])
def test_damaged_parts_of_schema_1_are_left_to_the_validation(part: Any) -> None:
    keys = ("precision", "candidates", "pairs", "asked", "groups", "sensitivity", "epochs", "forms", "gates")
    values = {"schema": 1, **dict.fromkeys(keys, part)}
    assert migrate_manifest(values)["schema"] == migrate_report(values)["schema"] == 2


def _rename(values: dict[str, Any], **names: str) -> None:
    for new, old in names.items():
        values[old] = values.pop(new)
