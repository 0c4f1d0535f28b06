"""The key of each stage covers the settings of the target that the stage reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import edgeprune
from edgeprune.config import Recipe, Target
from edgeprune.config.settings_base import Settings
from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.stage import Results, Stage, StageDir
from edgeprune.pipeline.stage_result import StageResult
from edgeprune.pipeline.stages import STAGES

_NO_RESULTS = {("Target", "name"), ("RuntimeSettings", "name")}
"""Names in messages and in tables of the lock file. The backend that has the name is in the key by its sources."""
_ONLY_CHECKED = {
    "load": {("Target", "runtime"), *(("RuntimeSettings", name) for name in ("align", "align_int8", "precisions"))}
}
"""Settings that a stage reads to report wrong names before anything is computed; its result does not depend on them."""

Field = tuple[str, str]


def _target_classes(kind: type[Settings] = Target) -> Iterator[type[Settings]]:
    """Yield ``kind`` and the classes of all tables in it."""
    yield kind
    for field in kind.model_fields.values():
        for table in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(table, type) and issubclass(table, Settings):
                yield from _target_classes(table)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Context manager that yields the set of the target's fields that are read in it."""
    recording: list[set[Field]] = []
    classes = set(_target_classes())

    def getattribute(self: Settings, name: str) -> Any:
        if name in type(self).model_fields and type(self) in classes:
            for fields in recording:
                fields.add((type(self).__name__, name))
        return object.__getattribute__(self, name)

    original = Settings.model_dump

    def model_dump(self: Settings, **options: Any) -> dict[str, Any]:
        for name in type(self).model_fields:  # the serializer does not call __getattribute__
            value = getattr(self, name)
            if isinstance(value, Settings):
                value.model_dump()
        return original(self, **options)

    monkeypatch.setattr(Settings, "__getattribute__", getattribute)
    monkeypatch.setattr(Settings, "model_dump", model_dump)

    @contextmanager
    def record() -> Iterator[set[Field]]:
        fields: set[Field] = set()
        recording.append(fields)
        yield fields
        recording.remove(fields)

    return record


@pytest.mark.parametrize(
    ("target", "overrides"),
    [
        ("host", {}),
        ("host", {"schedule.name": "iterative", "training.epochs": 1}),
        ("raspberry-pi-4", {"quantize.precision": "int8"}),
        ("jetson-orin-nano", {"quantize.precision": "int8"}),
        ("arduino-nano-33-ble", {"budget.macs": None, "budget.latency_ms": 0.7}),
        ("corstone-300-u55-128", {}),
    ],
)
def test_settings_that_a_stage_reads_are_in_its_key(
    target: str, overrides: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded: Any
) -> None:
    reads: dict[str, set[Field]] = {}
    run = Stage.__call__

    def call(stage: Stage[Any], context: BuildContext, stage_dir: StageDir, results: Results) -> StageResult:
        alone = BuildContext(context.settings, context.lock)  # no object of an earlier stage hides what this one reads
        alone.inputs = context.inputs
        with recorded() as reads[stage.name]:
            return run(stage, alone, stage_dir, results)

    monkeypatch.setattr(Stage, "__call__", call)
    recipe, board = Recipe.load("digits").override({"training.epochs": 0, **overrides}), Target.load(target)
    edgeprune.build(recipe, board, output=tmp_path, cache=tmp_path / "cache", lock=None)

    keys: dict[type[StageResult], set[Field]] = {}
    missing = ""
    for stage in (stage for stage in STAGES if stage.name in reads):
        with recorded() as own:
            stage.settings(recipe, board)
        covered = own.union(*(keys[kind] for kind in stage.depends_on))
        fields = reads[stage.name] - covered - _NO_RESULTS - _ONLY_CHECKED.get(stage.name, set())
        missing += f"{stage.name}: {sorted(fields)}\n" if fields else ""
        keys[stage.result] = covered if stage.content is None else set()
    assert missing == ""
