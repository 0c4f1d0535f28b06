"""The key of each stage covers the code and the packages that the stage uses, and little else."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import edgeprune
from edgeprune.config import Recipe, Target
from edgeprune.devices import Local
from edgeprune.pipeline import build, fingerprint, stage_runner, stage_sources
from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.build_settings import BuildSettings
from edgeprune.pipeline.stage import Stage
from edgeprune.pipeline.stage_runner import foreign_backend, key_of
from edgeprune.pipeline.stages import STAGES
from tests.quick_host import quick_host, write

_PACKAGE = Path(edgeprune.__file__).parent
_SOURCES = [path for path in sorted(_PACKAGE.rglob("*.py")) if "_data" not in path.parts]
_NO_RESULTS = {"click", "matplotlib", "packaging", "pydantic", "pydantic_core", "rich", "serial", "tomli"}
"""Packages that read settings, show text or connect devices. What they do changes no result."""
_ON_DEVICES = {"tflite_runtime"}
"""Packages that a script of a bundle imports on the device."""

# Runs each stage of a build in a process of its own, in which no other stage has loaded anything. For each stage, it
# prints the files of EdgePrune and the packages that the stage loaded. Torch, with numpy, is loaded before, as almost
# every stage uses it and loading it takes seconds.
_BUILD_IN_PROCESSES = """
import json, os, sys
import torch.export._trace
from dataclasses import replace
from functools import wraps
from pathlib import Path
from edgeprune.config import Recipe
from edgeprune.pipeline import build, fingerprint, stage_runner

target, overrides, cache, output = sys.argv[1:]
finish, folder = stage_runner._finish, Path(output) / "loaded"
folder.mkdir(parents=True)

def recorded(stage):
    @wraps(stage.run)
    def run(context, stage_dir, **results):
        before = set(sys.modules)
        result = stage.run(context, stage_dir, **results)
        names = [name for name in sys.modules.keys() - before if name.startswith("edgeprune.")]
        files = [sys.modules[name].__file__ for name in names]
        loaded = sorted(fingerprint.packages(sys.modules))
        (folder / f"{stage.name}.json").write_text(json.dumps([files, loaded]))
        return result
    return replace(stage, run=run)

def finish_in_child(stage, entry, runner, store, progress):
    child = os.fork() if store.find(entry.name, stage.result) is None else None
    if child == 0:
        try:
            finish(recorded(stage), entry, runner, store, progress)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    assert child is None or os.waitpid(child, 0)[1] == 0, stage.name
    assert "edgeprune.graph" not in sys.modules and "onnx" not in sys.modules
    return finish(stage, entry, runner, store, progress)

stage_runner._finish = finish_in_child
build(Recipe.load("digits").override(json.loads(overrides)), target, output=output, cache=cache)
print(json.dumps({file.stem: json.loads(file.read_text()) for file in folder.iterdir()}))
"""


_STAGES: dict[str, Stage[Any]] = {stage.name: stage for stage in STAGES}


def _files(stage: Stage[Any]) -> set[str]:
    return set(stage_sources.stage_sources(stage.run.__module__, "").files)


def _packages(stage: Stage[Any]) -> set[str]:
    return set(fingerprint.packages(stage_sources.stage_sources(stage.run.__module__, "").imports))


@pytest.fixture
def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Changes a file in a copy of EdgePrune's source, by which keys are computed from then on."""
    copies = iter(range(99))
    current = _PACKAGE

    def change(path: str) -> None:
        nonlocal current
        current = shutil.copytree(
            current, tmp_path / f"copy{next(copies)}", ignore=shutil.ignore_patterns("__pycache__")
        )
        assert (current / path).is_file()
        with (current / path).open("a") as file:
            file.write("\n")
        monkeypatch.setattr(
            stage_runner,
            "stage_sources",
            lambda module, schedule, package=current: stage_sources.stage_sources(module, schedule, package),
        )

    return change


def _own_keys(folder: Path, backend: dict[str, str] | None = None, *, schedule: str = "one_shot") -> dict[str, str]:
    """Key of each stage by name, where those of the stages before are the same."""
    recipe = Recipe.load("digits").override({"schedule.name": schedule})
    context = BuildContext(BuildSettings(recipe, Target.load("host"), folder, Local()))
    return {name: key_of(stage, context, defaultdict(str), backend or {}) for name, stage in _STAGES.items()}


def _different(one: dict[str, str], other: dict[str, str]) -> set[str]:
    return {name for name in one if one[name] != other[name]}


@pytest.mark.parametrize(
    ("path", "stages"),
    [
        ("report/style.css", {"bundle"}),
        ("report/sections/board_section.py", {"bundle"}),
        ("bundle/report_data.py", {"sensitivity", "describe", "bundle"}),
    ],
)
def test_report_changes_only_stages_that_write_it(
    path: str, stages: set[str], tmp_path: Path, changed: Callable[[str], None]
) -> None:
    before = _own_keys(tmp_path)
    changed(path)
    assert _different(before, _own_keys(tmp_path)) == stages


@pytest.mark.parametrize(
    ("path", "using", "not_using"),
    [
        ("training/trainer.py", {"train", "evaluate-dense"}, {"capture", "group", "verify-equivalence", "export"}),
        ("tflite/tflite_quantizing.py", {"quantize", "preflight", "select"}, {"load", "capture", "evaluate", "export"}),
        ("schedules/one_shot.py", {"load", "train"}, {"capture", "score", "select", "plan", "evaluate"}),
        ("schedules/session.py", {"load", "train"}, {"capture", "score", "select", "plan", "evaluate"}),
        ("schedules/gradual.py", set(), set(_STAGES)),
        ("schedules/mask_agent.py", set(), set(_STAGES)),
        ("criteria/lamp.py", {"load", "score", "candidates"}, {"capture", "group", "evaluate", "export", "profile"}),
        ("operator_facts/aten_operators.py", {"capture", "group", "train"}, set()),
        ("operator_facts/tflite_operators.py", {"quantize", "preflight"}, {"load", "capture", "train", "export"}),
        ("graph/rules/base.py", {"capture", "group", "train", "export"}, set()),
        ("backends/litert/litert_runner.py", {"profile", "bundle"}, {"capture", "evaluate", "export"}),
        ("backends/runner_parts/serving.py", {"profile", "bundle"}, {"capture", "evaluate", "export"}),
        ("devices/remote/remote_agent.py", {"profile"}, {"capture", "evaluate", "export"}),
        ("backends/tflm/firmware/files/model.cc", {"bundle"}, {"load", "train", "export"}),
        ("pipeline/build_pipeline.py", set(_STAGES), set()),
        ("__init__.py", set(_STAGES), set()),
        ("cli/build.py", set(), set(_STAGES)),
    ],
)
def test_source_changes_stages_that_use_it(
    path: str, using: set[str], not_using: set[str], tmp_path: Path, changed: Callable[[str], None]
) -> None:
    before = _own_keys(tmp_path)
    changed(path)
    result = _different(before, _own_keys(tmp_path))
    assert result >= using
    assert not result & not_using


@pytest.mark.parametrize(
    ("path", "schedules"),
    [
        ("schedules/mask_learning.py", {"mask_learning", "mine.py:Own"}),
        ("schedules/penalty.py", {"penalty", "mine.py:Own"}),
        ("schedules/base.py", {"one_shot", "mask_learning", "penalty", "mine.py:Own"}),
    ],
)
def test_schedule_changes_stages_of_recipes_that_use_it(
    path: str, schedules: set[str], tmp_path: Path, changed: Callable[[str], None]
) -> None:
    every = ("one_shot", "mask_learning", "penalty", "mine.py:Own")
    before = {name: _own_keys(tmp_path, schedule=name) for name in every}
    changed(path)
    results = {name: _different(before[name], _own_keys(tmp_path, schedule=name)) for name in every}
    assert {name for name, stages in results.items() if stages} == schedules
    assert all({"train", "prune-while-training"} <= results[name] for name in schedules)


@pytest.mark.parametrize(
    ("package", "using", "not_using"),
    [
        ("ai-edge-quantizer", {"quantize", "preflight"}, {"load", "capture", "evaluate", "export"}),
        ("flatbuffers", {"quantize", "preflight", "parity"}, {"load", "capture", "evaluate", "export"}),
        ("tflite-micro", {"quantize", "profile", "select"}, {"load", "capture", "evaluate", "export"}),
        ("ethos-u-vela", {"preflight", "quantize", "profile", "select"}, {"load", "capture", "evaluate", "export"}),
        ("onnxscript", {"export", "preflight", "quantize"}, {"load", "capture", "evaluate"}),
        ("torch", {"load", "capture", "train", "export", "quantize"}, set()),
    ],
)
def test_package_version_changes_stages_that_use_it(
    package: str, using: set[str], not_using: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, version = _own_keys(tmp_path), fingerprint._version
    monkeypatch.setattr(fingerprint, "_version", lambda name: "99" if name == package else version(name))
    result = _different(before, _own_keys(tmp_path))
    assert result >= using
    assert not result & not_using


def test_backend_of_another_package_changes_stages_that_use_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    (site / "other-0.1.dist-info").mkdir(parents=True)
    (site / "other-0.1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 0.1\n")
    (site / "other-0.1.dist-info" / "entry_points.txt").write_text(
        "[edgeprune.backends]\nother = other_backend:BACKEND\n"
    )
    file = site / "other_backend.py"
    file.write_text(
        "from edgeprune.backends.onnxruntime.onnxruntime_backend import OnnxRuntime\n"
        "class Other(OnnxRuntime):\n    name = 'other'\nBACKEND = Other()\n"
    )
    monkeypatch.syspath_prepend(site)
    target = Target.parse({"name": "board", "runtime": {"name": "other"}}, where="a test")
    first = foreign_backend(target, tmp_path)
    file.write_text(file.read_text() + "\n")
    second = foreign_backend(target, tmp_path)
    result = _different(_own_keys(tmp_path, first), _own_keys(tmp_path, second))
    assert result >= {"preflight", "quantize", "profile", "bundle"}
    assert not result & {"load", "capture", "evaluate", "export"}
    assert foreign_backend(Target.load("host"), tmp_path) == {}


@pytest.mark.long
def test_build_runs_only_stages_whose_sources_changed(tmp_path: Path, changed: Callable[[str], None]) -> None:
    recipe = Recipe.load("digits").override({"training.epochs": 1, "prune.samples": 64})

    def run() -> set[str]:
        result = build(recipe, quick_host(), output=tmp_path / "dist", cache=tmp_path / "cache")
        return {stage.name for stage in result.stages if not stage.cached}

    everything = run()
    changed("report/style.css")
    assert run() == {"bundle"}
    changed("training/trainer.py")
    assert {"load", "evaluate-dense", "train", "evaluate", "export", "quantize", "profile", "bundle"} <= run()
    changed("training/trainer.py")
    assert everything - run() >= {"preflight", "capture", "group"}
    changed("schedules/gradual.py")
    assert run() == set()
    changed("schedules/one_shot.py")
    assert everything - run() == {"preflight", "evaluate-dense", "capture", "group", "score", "select"}


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="each stage runs in a fork")
@pytest.mark.parametrize(
    ("target", "overrides", "stages"),
    [
        ("host", {}, ["*"]),
        (
            "arduino-nano-33-ble",
            {"schedule.name": "iterative", "schedule.rounds": 1},
            ["preflight", "prune-while-training", "quantize", "parity", "profile", "bundle"],
        ),
    ],
    ids=["host", "microcontroller"],
)
def test_all_code_that_a_stage_loads_is_in_its_sources(
    target: str, overrides: dict[str, object], stages: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = {"training.epochs": 1, "prune.samples": 64, "quantize.max_accuracy_drop": 1.0, **overrides}
    cache = tmp_path / "cache"
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    build(Recipe.load("digits").override(overrides), target, output=tmp_path / "first", cache=cache)
    for stage in stages:  # the record of the inputs stays, so that no process loads the network for it
        for entry in (cache / "cache").glob(f"{stage}-*"):
            shutil.rmtree(entry)
    ended = subprocess.run(
        [sys.executable, "-c", _BUILD_IN_PROCESSES, target, json.dumps(overrides), cache, tmp_path / "again"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    loaded = json.loads(ended.stdout.splitlines()[-1])
    assert loaded.keys() >= ({"capture", "train", "profile"} if stages == ["*"] else set(stages))
    for name, (files, packages) in loaded.items():
        used = {Path(file).relative_to(_PACKAGE).as_posix() for file in files}
        assert not used - _files(_STAGES[name]), name
        assert not set(packages) - _packages(_STAGES[name]), name


def test_every_stage_is_in_the_module_that_runs_it() -> None:
    for stage in _STAGES.values():
        module = sys.modules[stage.run.__module__]
        assert module.__name__.startswith("edgeprune.pipeline.stages.")
        assert module.STAGE is stage


def _imports(tree: ast.AST) -> Iterator[str]:
    """Dotted names that a module imports, other than for annotations only."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        yield from _imports(node)


@pytest.mark.long
def test_no_import_statement_is_missed() -> None:
    for path in _SOURCES:
        text = path.read_text(encoding="utf-8")
        assert set(_imports(ast.parse(text))) <= stage_sources._imports(text), path


@pytest.mark.long
def test_no_stage_imports_a_lazy_attribute_of_edgeprune() -> None:
    for path in {_PACKAGE / file for stage in _STAGES.values() for file in _files(stage) if file.endswith(".py")}:
        for name in _imports(ast.parse(path.read_bytes())):
            root, _, remainder = name.partition(".")
            if root == "edgeprune" and remainder != "__version__":
                imported = _PACKAGE / remainder.partition(".")[0]
                assert imported.is_dir() or imported.with_suffix(".py").is_file(), f"{path}: {name}"


def test_every_build_context_is_called_context() -> None:
    for path in (_PACKAGE / "pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            names: list[str] = []
            if (
                isinstance(node, ast.arg)
                and node.annotation is not None
                and ast.unparse(node.annotation) == "BuildContext"
            ):
                names = [node.arg]
            elif isinstance(node, ast.Assign) and re.fullmatch(
                r"context|self\.context|BuildContext\(.*", ast.unparse(node.value)
            ):
                names = [ast.unparse(one) for one in node.targets]
            assert all(name.endswith("context") for name in names), path


@pytest.mark.long
def test_every_imported_package_is_classified_by_its_effect_on_results() -> None:
    files = {file for stage in _STAGES.values() for file in _files(stage) if file.endswith(".py")}
    names = {name.partition(".")[0] for file in files for name in _imports(ast.parse((_PACKAGE / file).read_bytes()))}
    assert names - sys.stdlib_module_names - {"edgeprune"} - _NO_RESULTS - _ON_DEVICES <= set(fingerprint._PACKAGES)
