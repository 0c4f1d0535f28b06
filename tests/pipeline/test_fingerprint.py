from __future__ import annotations

import os
from pathlib import Path

from edgeprune.pipeline import fingerprint
from edgeprune.pipeline.fingerprint import Hashes


def test_a_file_hash_follows_its_content(tmp_path: Path) -> None:
    file = tmp_path / "w"
    file.write_bytes(b"one")
    hashes = Hashes(tmp_path / "hashes.json")
    first = hashes.file(file)
    file.write_bytes(b"two")
    assert hashes.file(file) != first
    file.write_bytes(b"one")
    assert hashes.file(file) == first


def test_an_old_file_is_read_once_and_again_when_it_changed(tmp_path: Path) -> None:
    file = tmp_path / "w"
    file.write_bytes(b"one")
    os.utime(file, ns=(10**18, 10**18))
    hashes = Hashes(tmp_path / "hashes.json")
    first = hashes.file(file)
    hashes.save()
    assert str(file) in (tmp_path / "hashes.json").read_text()
    assert Hashes(tmp_path / "hashes.json").file(file) == first
    file.write_bytes(b"two")
    assert Hashes(tmp_path / "hashes.json").file(file) != first


def test_packages_are_those_that_write_or_measure_results() -> None:
    named = fingerprint.packages()
    assert {
        "ai-edge-quantizer",
        "ai-edge-litert",
        "tflite-micro",
        "ethos-u-vela",
        "flatbuffers",
        "accelerate",
    } <= named.keys()
    assert not {"pillow", "scikit-learn"} & named.keys()
    assert fingerprint.packages({"ai_edge_quantizer", "re"}).keys() == {
        "ai-edge-quantizer", "ai-edge-litert", "flatbuffers", "python",
    }  # fmt: skip


def test_digest_ignores_key_order_only() -> None:
    assert fingerprint.digest({"a": 1, "b": 2}) == fingerprint.digest({"b": 2, "a": 1})
    assert fingerprint.digest({"a": 1}) != fingerprint.digest({"a": 1.5})
