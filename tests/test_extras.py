"""Extras: which packages they are, and what is said where one is not installed."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, get_args

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from edgeprune import extras
from edgeprune.config.settings_base import read_toml
from edgeprune.doctor import package_checks
from edgeprune.errors import InputError, MissingPackageError

_ROOT = Path(__file__).parents[1]
_BLOCKER = """
import importlib.machinery, os
_blocked, _find = set(os.environ["BLOCKED"].split(",")), importlib.machinery.PathFinder.find_spec
def _find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] in _blocked else _find(name, path, target)
importlib.machinery.PathFinder.find_spec = _find_spec
"""
_ALL = [module for modules in extras.MODULES.values() for module in modules]


def run_without(modules: list[str], *arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run EdgePrune as if ``modules`` were not installed, in ``folder``."""
    blocker = folder / "blocker"
    blocker.mkdir(exist_ok=True)
    (blocker / "sitecustomize.py").write_text(_BLOCKER)
    path = os.pathsep.join([str(blocker), str(_ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "BLOCKED": ",".join(modules)}
    argv = [sys.executable, "-m", "edgeprune", *arguments]
    return subprocess.run(
        argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )  # fmt: skip


@pytest.fixture
def project() -> dict[str, Any]:
    result: dict[str, Any] = read_toml(_ROOT / "pyproject.toml", InputError)["project"]
    return result


def test_every_extra_installs_its_modules_and_the_core_none_of_them(project: dict[str, Any]) -> None:
    distributions = packages_distributions()
    core = {Requirement(line).name for line in project["dependencies"]}
    assert extras.MODULES.keys() == set(get_args(extras.Extra))
    for extra, modules in extras.MODULES.items():
        expected = {canonicalize_name(distributions[module][0]) for module in modules}
        listed = {Requirement(line).name for line in project["optional-dependencies"][extra]} - {"edgeprune"}
        assert listed == expected, extra
        assert not expected & core
    (everything,) = map(Requirement, project["optional-dependencies"]["all"])
    assert everything.extras == set(extras.MODULES)


def test_a_module_that_is_missing_names_its_extra() -> None:
    with pytest.raises(MissingPackageError, match=r"edgeprune\[plots\]"), extras.required("plots"):
        raise ModuleNotFoundError("No module named 'matplotlib.figure'", name="matplotlib.figure")
    with pytest.raises(ModuleNotFoundError, match="other"), extras.required("plots"):
        raise ModuleNotFoundError("No module named 'other'", name="other")


@pytest.mark.parametrize("command", [["--help"], ["targets"], ["recipes"], ["criteria"], ["schedules"]])
def test_commands_that_need_no_extra_run_without_any(command: list[str], tmp_path: Path) -> None:
    ended = run_without(_ALL, *command, folder=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.long
@pytest.mark.parametrize(
    ("modules", "command", "extra"),
    [
        (["sklearn"], ["inspect", "digits", "--sensitivity"], "recipes"),
        (["ai_edge_litert"], ["lint", "MODEL"], "tflite"),
        (["tflite_micro"], ["lint", "MODEL"], "mcu"),
        (["flatbuffers"], ["convert", "a.onnx", "b.tflite"], "tflite"),
        (["serial"], ["profile", "MODEL", "--device", "serial:/dev/none"], "serial"),
    ],
)
def test_a_missing_extra_is_one_sentence_with_the_line_that_installs_it(
    modules: list[str], command: list[str], extra: str, tmp_path: Path, shared_data: Path
) -> None:
    model = str(shared_data / "models" / "mlperf_tiny_ic_int8.tflite")
    ended = run_without(modules, *(model if word == "MODEL" else word for word in command), folder=tmp_path)
    (line,) = ended.stderr.splitlines()
    assert ended.returncode == 3
    assert f"pip install 'edgeprune[{extra}]'" in line


@pytest.mark.long
def test_a_network_is_built_and_profiled_without_any_extra_but_its_data(tmp_path: Path) -> None:
    blocked = [module for module in _ALL if module != "sklearn"]
    argv = ["build", "digits", "--target", "raspberry-pi-4", "--output", "dist", "--set", "training.epochs=1"]
    ended = run_without(blocked, *argv, folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    ended = run_without(_ALL, "profile", "dist/digits-raspberry-pi-4", "--runs", "5", "--noise", "100", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.long
def test_doctor_lists_optional_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    results = {one.name: one for one in package_checks.optional_packages()}
    assert all(not one.needed for one in results.values())
    assert results["pyserial"].state == "ok"
    monkeypatch.setattr(package_checks, "installed", lambda name: None)
    absent = {one.name: one for one in package_checks.optional_packages()}
    assert absent.keys() == results.keys()
    assert {one.state for one in absent.values()} == {"absent"}
    assert absent["matplotlib"].fix is not None
    assert "matplotlib>=3.8" in absent["matplotlib"].fix


def test_optional_packages_of_an_installation_are_read_from_its_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["click", 'pyserial>=3.5; extra == "serial"', 'edgeprune[tflite]; extra == "mcu"', 'x; extra == "mcu"']
    monkeypatch.setattr(package_checks, "_PROJECT", tmp_path / "pyproject.toml")
    monkeypatch.setattr("importlib.metadata.requires", lambda name: lines)
    result = package_checks.optional()
    assert {extra: [one.name for one in several] for extra, several in result.items() if several} == {
        "serial": ["pyserial"], "mcu": ["x"],
    }  # fmt: skip
