"""What may be profiled."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeprune.errors import ModelError
from edgeprune.profile.workload import load_workload
from tests.tflite.tflite_files import fully_connected


def test_a_damaged_tflite_file_reaches_no_runtime(tmp_path: Path) -> None:
    file, x, y = fully_connected()
    path = tmp_path / "m.tflite"
    path.write_bytes(file.content((x,), (y,)))
    assert load_workload(path).models == {"m": path}
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ModelError, match=r"m\.tflite.*TFLite"):
        load_workload(path)
