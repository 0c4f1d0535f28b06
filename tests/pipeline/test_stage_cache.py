from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgeprune.pipeline.stage_cache import Cache
from edgeprune.pipeline.stage_result import ResultFile, StageResult


@dataclass(frozen=True, kw_only=True)
class _Trained(StageResult):
    accuracy: float
    weights: ResultFile | None = None


def test_a_result_is_found_again_with_its_files(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert cache.find("a-1", _Trained) is None
    out, _ = cache.start("a-1")
    (out / "weights").write_bytes(b"123")
    stored = cache.store("a-1", _Trained(accuracy=0.5, weights=out / "weights"), 1.25)
    result = Cache(tmp_path).find("a-1", _Trained)
    assert result == stored
    assert result is not None
    assert result.result.weights is not None
    assert result.result.weights.read_bytes() == b"123"
    assert result.result.accuracy == 0.5
    assert result.seconds == 1.25
    assert cache.find("a-2", _Trained) is None


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"12")])
def test_damaged_result_is_not_found(tmp_path: Path, damage: object) -> None:
    cache = Cache(tmp_path)
    out, _ = cache.start("a-1")
    (out / "weights").write_bytes(b"123")
    weights = cache.store("a-1", _Trained(accuracy=0.5, weights=out / "weights"), 0).result.weights
    damage(weights)  # type: ignore[operator]
    assert cache.find("a-1", _Trained) is None
    out, _ = cache.start("a-1")
    (out / "weights").write_bytes(b"456")
    weights = cache.store("a-1", _Trained(accuracy=0.5, weights=out / "weights"), 0).result.weights
    assert weights is not None
    assert weights.read_bytes() == b"456"


@pytest.mark.parametrize("values", [{}, {"accuracy": "high"}, [], None])
def test_stored_values_of_another_type_are_no_result(tmp_path: Path, values: object) -> None:
    cache = Cache(tmp_path)
    cache.start("a-1")
    cache.store("a-1", _Trained(accuracy=0.5), 0)
    file = tmp_path / "cache" / "a-1" / "result.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "values": values}))
    assert cache.find("a-1", _Trained) is None


def test_checkpoints_are_kept_until_the_stage_ends(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    out, keep = cache.start("a-1")
    (out / "half").write_bytes(b"")
    (keep / "checkpoint").write_bytes(b"1")
    out, keep = Cache(tmp_path).start("a-1")
    assert list(out.iterdir()) == []
    assert (keep / "checkpoint").read_bytes() == b"1"
    cache.store("a-1", _Trained(accuracy=0.5), 0)
    assert list((tmp_path / "work").iterdir()) == []


def test_result_that_is_not_json_is_not_cached(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.start("a-1")
    with pytest.raises(ValueError, match="JSON"):
        cache.store("a-1", _Trained(accuracy=float("nan")), 0)
    assert cache.find("a-1", _Trained) is None


def _hold(root: Path, ready: object) -> None:
    with Cache(root).locked("a-1"):
        ready.set()  # type: ignore[attr-defined]
        time.sleep(600)


@pytest.mark.long
def test_lock_is_released_if_its_process_is_killed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, ready))
    holder.start()
    assert ready.wait(300)
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    with Cache(tmp_path).locked("a-1"):
        holder.join()
    assert holder.exitcode == -signal.SIGKILL
