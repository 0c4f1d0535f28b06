"""The manifest: a round trip, and every way in which a file is no manifest of this schema."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgeprune.bundle import provenance
from edgeprune.bundle.manifest import Manifest
from edgeprune.errors import BundleError


def test_manifest_survives_a_round_trip(tmp_path: Path, manifest: Manifest) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(manifest.to_json(), encoding="utf-8")
    assert Manifest.load(path) == Manifest.load(tmp_path) == manifest
    values = json.loads(manifest.to_json())
    assert values == manifest.model_dump(mode="json")
    assert {
        "schema", "edgeprune", "recipe", "target", "files", "metric", "metrics", "equivalence", "precision", "parity",
            "profile", "platform", "microcontroller", "budgets", "constraints", "provenance", "pairs",
            "training", "candidates",
    } == values.keys()  # fmt: skip
    assert values["schema"] == 2
    assert values["metrics"].keys() == {"dense", "pruned", "shipped"}
    assert values["budgets"] == [
        {"name": "macs", "limit": 500.0, "value": 499.0, "margin": 1.0, "kind": "exact", "ok": True, "note": ""}
    ]


def test_keys_of_a_later_writer_of_the_same_schema_are_skipped(tmp_path: Path, manifest: Manifest) -> None:
    values = {**manifest.model_dump(mode="json"), "later": {"a": 1}}
    values["metrics"]["dense"]["energy_mj"] = 3
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    assert Manifest.load(path) == manifest


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema": 3}, r"schema 3\b.* 2\b"),
        ({"schema": None}, "'schema'"),
        ({"schema": True}, "'schema'"),
        ({"schema": 0}, "schema: "),
        ({"recipe": 3}, "recipe: "),
        ({"files": {"a": {"sha256": "xyz", "bytes": 1}}}, r"files\.a\.sha256"),
        ({"budgets": [{"name": "macs", "limit": 1, "value": 1, "kind": "guessed", "ok": True}]}, r"budgets\.0\.kind"),
    ],
)
def test_invalid_values_are_named(tmp_path: Path, manifest: Manifest, change: dict[str, object], reason: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({**manifest.model_dump(mode="json"), **change}), encoding="utf-8")
    with pytest.raises(BundleError, match=rf"manifest\.json.*{reason}"):
        Manifest.load(path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"3", b'{"schema": 2}'])
def test_a_file_that_is_no_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        Manifest.load(tmp_path)


def test_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=rf"manifest\.json.*{os.strerror(errno.ENOENT)}"):
        Manifest.load(tmp_path)


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    argv = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def test_provenance_names_versions_and_the_commit(tmp_path: Path) -> None:
    import numpy as np

    inputs = {"weights": "1" * 64, "data": "2" * 64}
    outside = provenance.collect(packages=["numpy", "no-such-package"], seed=3, inputs=inputs, folder=tmp_path)
    assert outside.packages == {"numpy": np.__version__}
    assert outside.python == ".".join(map(str, sys.version_info[:3]))
    assert (outside.seed, outside.inputs, outside.git) == (3, inputs, None)
    _git(tmp_path, "init", "-q")
    assert provenance.git_state(tmp_path) is None  # no commit yet
    (tmp_path / "a").write_text("1")
    _git(tmp_path, "add", "a")
    _git(tmp_path, "commit", "-qm", "first")
    (tmp_path / "untracked").write_text("1")
    clean = provenance.git_state(tmp_path)
    assert clean is not None
    assert (clean.commit, clean.dirty) == (_git(tmp_path, "rev-parse", "HEAD"), False)
    (tmp_path / "a").write_text("2")
    dirty = provenance.git_state(tmp_path)
    assert dirty is not None
    assert dirty.dirty


def test_bundle_package_imports_no_torch() -> None:
    code = (
        "import sys, edgeprune.bundle.pack, edgeprune.bundle.provenance, edgeprune.devices\n"
        "import edgeprune.report.build_table\n"
        "print([name for name in ('torch', 'onnx', 'onnxruntime') if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
