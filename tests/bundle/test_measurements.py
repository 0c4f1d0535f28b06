"""Files of a bundle that change from run to run."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from edgeprune.bundle import measurements
from edgeprune.bundle.budget_report import BudgetReport
from edgeprune.bundle.measurements import Measurements
from edgeprune.errors import BundleError

_VERDICT = BudgetReport(name="latency_ms.p50", limit=2.0, value=1.0, margin=1.0, kind="measured", ok=True)


def test_added_file_is_hashed_and_other_files_are_unchanged(tmp_path: Path) -> None:
    measurements.replace(tmp_path, {"profile.json": "{}", "a.html": "a"}, [_VERDICT])
    measurements.replace(tmp_path, {"a.html": "ü"})
    result = Measurements.load(tmp_path)
    assert list(result.files) == ["a.html", "profile.json"]
    for path, entry in result.files.items():
        content = (tmp_path / path).read_bytes()
        assert (entry.sha256, entry.bytes) == (hashlib.sha256(content).hexdigest(), len(content))
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == "ü"
    assert result.budgets == (_VERDICT,)


def test_added_file_invalidates_the_signature(tmp_path: Path) -> None:
    (tmp_path / "measured.json").write_text(Measurements(manifest="1" * 64).to_json())
    (tmp_path / "measured.json.sig").write_text("over the file of before")
    measurements.replace(tmp_path, {"profile.json": "{}"})
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["measured.json", "profile.json"]
    assert Measurements.load(tmp_path).manifest == "1" * 64


def test_damaged_bundle_accepts_no_file(tmp_path: Path) -> None:
    (tmp_path / "measured.json").write_text("{")
    with pytest.raises(BundleError, match=r"measured\.json"):
        measurements.replace(tmp_path, {"a.html": "x"})
    assert not (tmp_path / "a.html").exists()
