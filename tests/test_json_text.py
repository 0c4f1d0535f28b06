"""What others wrote as JSON: whatever is wrong with it is one error of the room that reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeprune import json_text
from edgeprune.backends.tensorrt import layers
from edgeprune.cost.table import LatencyTable
from edgeprune.errors import EdgePruneError, PlanError, RecipeError, TargetError
from edgeprune.pipeline.lock import Lock
from edgeprune.profile import Profile
from edgeprune.select.plan import Plan

_DEEP = "[" * 100_000


def test_depth_is_a_value_error() -> None:
    assert json_text.loads('{"a": [1, null]}') == {"a": [1, None]}
    with pytest.raises(ValueError, match="nested too deeply"):
        json_text.loads(_DEEP)


@pytest.mark.parametrize(
    ("read", "error"),
    [
        (Plan.load, PlanError),
        (lambda path: Lock(path, "digits"), RecipeError),
        (lambda path: LatencyTable.from_json(path.read_text(), where=path), TargetError),
        (lambda path: Profile.from_json(path.read_text(), where=path), EdgePruneError),
        (lambda path: layers.read_profile(path.read_text()), EdgePruneError),
    ],
    ids=["plan", "lock", "latency-table", "profile", "trtexec"],
)
def test_readers_tell_depth_in_a_sentence(
    read: Callable[[Path], Any], error: type[EdgePruneError], tmp_path: Path
) -> None:
    path = tmp_path / "deep.json"
    path.write_text(_DEEP)
    with pytest.raises(error, match="nested too deeply"):
        read(path)
