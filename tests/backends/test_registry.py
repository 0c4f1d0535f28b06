"""Registry of backends, and the rule that no code outside their folder asks which one a target has."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgeprune.backends import backend, for_file, for_target, names, suffixes
from edgeprune.bundle.manifest import Manifest
from edgeprune.config import Target
from edgeprune.errors import ModelError, TargetError

pytestmark = pytest.mark.long

_ROOT = Path(__file__).parents[2]
_PACKAGE = _ROOT / "edgeprune"
_CONDITION = re.compile(
    r"runtime\.name\s*(==|!=|\bin\b|\bnot in\b)"
    r"|(==|!=)\s*\"(onnxruntime|litert|tensorrt|tflm|ethos_u|onnx|tflite|\.onnx|\.tflite)\""
    r"|target\.microcontroller\s+is\b"
    r"|isinstance\([^)]*(OnnxRuntime|LiteRT|TensorRT|TfliteMicro|EthosU)"
)


def test_no_condition_on_a_runtime_outside_backends() -> None:
    results = [
        f"{path.relative_to(_PACKAGE)}:{number}: {line.strip()}"
        for path in sorted(_PACKAGE.rglob("*.py"))
        if "backends" not in path.relative_to(_PACKAGE).parts
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if _CONDITION.search(line)
    ]
    assert results == []


def test_every_folder_with_a_backend_file_is_registered() -> None:
    assert names() == ("ethos_u", "litert", "onnxruntime", "tensorrt", "tflm")
    for name in names():
        assert backend(name).name == name
        assert backend(name).host.host is backend(name).host


def test_every_target_has_a_backend() -> None:
    for path in Target.available().values():
        target = Target.load(path)
        assert for_target(target).name == target.runtime.name


def test_suffixes_name_one_backend_each() -> None:
    assert sorted(suffixes()) == sorted(set(suffixes())) == [".onnx", ".tflite"]
    assert for_file(Path("a.onnx")) is backend("onnxruntime")
    assert for_file(Path("a.tflite")) is backend("litert")
    with pytest.raises(ModelError, match=r"a\.pte"):
        for_file(Path("a.pte"))


@pytest.mark.parametrize("name", ["onn" + "A" * 100_000, "../backends/tflm", "tflm/linting", "..", ""])
def test_name_of_a_runtime_is_not_used_as_a_path(name: str) -> None:
    with pytest.raises(TargetError, match=rf"runtime\.name: .*'{re.escape(name[:80])}'") as refused:
        backend(name)
    assert len(str(refused.value)) < 300


def test_unknown_runtime_names_the_nearest() -> None:
    with pytest.raises(TargetError, match=r"'litrt'.*'litert'"):
        for_target(Target.parse({"name": "board", "runtime": {"name": "litrt"}}, where="test"))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"runtime": {"name": "tflm"}}, r"board: .*'tflm'.*\[microcontroller\]"),
        (
            {"runtime": {"name": "litert"}, "microcontroller": "as nucleo-l4r5zi"},
            r"board: .*\[microcontroller\].*'litert'",
        ),
    ],
)
def test_table_microcontroller_belongs_to_tflite_micro(target: dict[str, object], message: str) -> None:
    board = Target.load("nucleo-l4r5zi").model_dump(mode="json")
    values = {"name": "board", "hardware": board["hardware"], **target}
    if "microcontroller" in target:
        values["microcontroller"] = board["microcontroller"]
    with pytest.raises(TargetError, match=message):
        for_target(Target.parse(values, where="test"))


_BACKEND = '''
import shutil

from edgeprune.backends.base import Backend
from edgeprune.backends.conversion import ConvertedModel
from edgeprune.backends.runner_scripts import RunnerScripts
from edgeprune.backends.onnxruntime.onnxruntime_backend import SCRIPT, OnnxRuntime
from edgeprune.export import onnx_loading


class Toy(Backend):
    """A runtime with files of its own, which are ONNX under another name; int8 is not possible."""

    name = "toy"
    title = "Toy Runtime"
    package = "onnxruntime"
    suffix = ".toy"
    is_default_for_suffix = True
    runner = RunnerScripts(script=SCRIPT, requirements="onnxruntime>=1.12\\n")

    @property
    def reported_names(self):
        return (self.name, "onnxruntime")

    def write_float32(self, source, folder):
        return shutil.copy(source, folder / f"{source.stem}.toy")

    def write(self, precision, conversion):
        raise AssertionError("the target has float32 alone")

    def check_file(self, path):
        onnx_loading.check_file(path)

    def predictor(self, path):
        return OnnxRuntime().predictor(path)

    def evaluate(self, path, split, *, progress):
        return OnnxRuntime().evaluate(path, split, progress=progress)


BACKEND = Toy()
'''


def test_backend_of_another_package_builds_a_bundle(tmp_path: Path) -> None:
    """A backend that another distribution registers as an entry point builds and profiles the digits recipe."""
    site = tmp_path / "site"
    (site / "toy-0.1.dist-info").mkdir(parents=True)
    (site / "toy-0.1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 0.1\n")
    (site / "toy-0.1.dist-info" / "entry_points.txt").write_text("[edgeprune.backends]\ntoy = toy_backend:BACKEND\n")
    (site / "toy_backend.py").write_text(_BACKEND)
    (tmp_path / "toy-board.toml").write_text("name = 'toy-board'\nruntime.name = 'toy'\n")

    def edgeprune(*arguments: str) -> str:
        ended = subprocess.run(
            [sys.executable, "-m", "edgeprune", *arguments],
            cwd=tmp_path,
            env={"PYTHONPATH": f"{site}:{_ROOT}", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    edgeprune("build", "digits", "--target", "toy-board.toml", "--set", "training.epochs=1", "--output", "dist")
    folder = tmp_path / "dist" / "digits-toy-board"
    manifest = Manifest.load(folder)
    assert {"model.toy", "run.py", "requirements.txt"} <= manifest.files.keys()
    assert manifest.platform is not None
    assert manifest.platform.runtime == "toy"
    profile = json.loads(edgeprune("profile", str(folder), "--json", "--noise", "100"))  # shared cores are noisy
    assert profile["profile"]["models"]["pruned"]["latency_ms"]["p50"] > 0
