"""``evaluation.json``: what is read back is what was written, and anything else is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeprune.bundle import archive, pack
from edgeprune.bundle.bundle_reader import read
from edgeprune.bundle.evaluation import NAME, Evaluation
from edgeprune.bundle.manifest import AllMetrics, Manifest, Metrics
from edgeprune.errors import BundleError

_CORRECT = [True, False, True, True, False, True, True, True, False, True]


def results(correct: list[bool] | None = None) -> Evaluation:
    bits = _CORRECT if correct is None else correct
    return Evaluation.of_classes(np.packbits(np.array(bits)).tobytes(), len(bits), "a" * 64)


def with_accuracy(manifest: Manifest, accuracy: float, samples: int) -> Manifest:
    shipped = Metrics(macs=499, params=60, accuracy=accuracy, samples=samples)
    metrics = AllMetrics(dense=manifest.metrics.dense, pruned=manifest.metrics.pruned, shipped=shipped)
    return manifest.model_copy(update={"metrics": metrics})


def test_results_survive_writing_and_reading() -> None:
    result = Evaluation.parse(results().to_json().encode(), where="x")
    assert result == results()
    assert result.bits.bit_count() == 7
    losses = Evaluation(split_sha256="a" * 64, samples=130, losses=(0.5, 0.25, 1.0), batch_size=64)
    assert Evaluation.parse(losses.to_json().encode(), where="x") == losses


def test_ten_thousand_samples_take_two_kilobytes() -> None:
    assert len(results([True, False] * 5000).to_json()) < 2000


@pytest.mark.parametrize(
    "change",
    [
        {"samples": 9},  # a bit of the padding is set
        {"samples": 17},
        {"samples": 0},
        {"samples": 10**400},
        {"correct": "no base64!"},
        {"correct": None},
        {"losses": [1.0], "batch_size": 64},
        {"correct": None, "losses": [1.0, 2.0], "batch_size": 64},
        {"split_sha256": "A"},
        {"schema": 2},
    ],
)
def test_a_damaged_file_is_refused(change: dict[str, Any]) -> None:
    values = {**json.loads(results().to_json()), **change}
    with pytest.raises(BundleError):
        Evaluation.parse(json.dumps(values).encode(), where="x")


def test_bundle_folder_and_archive_have_the_same_results(tmp_path: Path, manifest: Manifest) -> None:
    files: dict[str, Any] = {"model.onnx": b"1", NAME: results().to_json()}
    packed = pack.write(tmp_path / "dist" / "digits-host", files, with_accuracy(manifest, 0.7, 10))
    assert read(packed.folder).evaluation == read(packed.archive).evaluation == results()
    assert read(packed.folder / "manifest.json").evaluation is None
    (packed.folder / NAME).write_text(results([True] * 10).to_json())
    with pytest.raises(BundleError, match=NAME):
        read(packed.folder)
    (packed.folder / NAME).unlink()
    with pytest.raises(BundleError, match=NAME):
        read(packed.folder)


@pytest.mark.parametrize(("accuracy", "samples"), [(0.8, 10), (0.7, 11)])
def test_results_that_contradict_the_manifest_are_refused(
    tmp_path: Path, manifest: Manifest, accuracy: float, samples: int
) -> None:
    output = with_accuracy(manifest, accuracy, samples)
    packed = pack.write(tmp_path / "digits-host", {"model.onnx": b"1", NAME: results().to_json()}, output)
    for path in (packed.folder, packed.archive):
        with pytest.raises(BundleError, match=NAME):
            read(path)


def test_fractions_of_wrong_labels_must_be_those_of_the_manifest(tmp_path: Path, manifest: Manifest) -> None:
    errors = Evaluation(split_sha256="a" * 64, samples=5, losses=(0.5, 0.25, 0.75), batch_size=2)
    for accuracy, valid in ((0.55, True), (0.6, False)):  # 1 - (2 * 0.5 + 2 * 0.25 + 0.75) / 5
        files: dict[str, Any] = {"model.onnx": b"1", NAME: errors.to_json()}
        packed = pack.write(tmp_path / str(valid), files, with_accuracy(manifest, accuracy, 5))
        if valid:
            assert read(packed.folder).evaluation == errors
        else:
            with pytest.raises(BundleError, match=r"0\.55.*0\.6"):
                read(packed.folder)


def test_extracted_archive_equals_the_original_folder(tmp_path: Path, manifest: Manifest) -> None:
    files: dict[str, Any] = {"model.onnx": b"1" * 5000, "run.py": b"", "firmware/model.cc": b"x"}
    packed = pack.write(tmp_path / "digits-host", files, manifest)
    (tmp_path / "new").mkdir()
    folder = archive.extract(packed.archive, tmp_path / "new")
    for path in (*files, "manifest.json"):
        assert (folder / path).read_bytes() == (packed.folder / path).read_bytes()
        assert (folder / path).stat().st_mode == (packed.folder / path).stat().st_mode


def test_damaged_archive_is_not_extracted(tmp_path: Path, manifest: Manifest) -> None:
    packed = pack.write(tmp_path / "digits-host", {"a": b"1" * 5000, "b": bytes(range(256)) * 64}, manifest)
    content = bytearray(packed.archive.read_bytes())
    content[-200] ^= 1
    packed.archive.write_bytes(content)
    (tmp_path / "new").mkdir()
    with pytest.raises(BundleError):
        archive.extract(packed.archive, tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []
