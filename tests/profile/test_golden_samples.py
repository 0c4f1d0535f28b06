"""Golden vectors: what is read of files that a device or another build wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeprune.profile import golden_samples


def test_arrays_that_unpack_to_more_than_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "outputs.npz"
    np.savez_compressed(path, output_0=np.zeros(100_000))
    assert golden_samples.arrays(path)["output_0"].shape == (100_000,)
    monkeypatch.setattr(golden_samples, "_MAX_BYTES", 500_000)
    assert path.stat().st_size < 500_000
    with pytest.raises(ValueError, match=r"800,\d{3}.*500,000"):
        golden_samples.arrays(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"x" * 100])
def test_a_file_that_is_not_an_archive_is_a_value_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "outputs.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="zip"):
        golden_samples.arrays(path)


def test_classes_of_outputs_with_positions_are_compared_position_by_position() -> None:
    expected = np.zeros((2, 3, 4, 5), np.float32)
    expected[:, 1] = 1.0
    result = expected.copy()
    result[1, 2, 0, :4] = 2.0
    inputs = np.zeros((2, 1, 4, 5), np.float32)
    assert golden_samples.Golden(inputs, (expected,), 1e-3).compare([result]).top1_agreement == pytest.approx(
        1 - 4 / 40
    )
