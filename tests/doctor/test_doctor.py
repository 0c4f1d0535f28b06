"""``edgeprune doctor``: it sees what is there, and for what is not it says the line that helps."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from edgeprune import extras
from edgeprune.backends import backend, names
from edgeprune.cli import run
from edgeprune.config import Target
from edgeprune.doctor import Finding, device_checks, folder_checks, package_checks, target_checks, tool_checks
from edgeprune.doctor.package_checks import installed
from tests.devices import sshd


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, config folder and cache folder."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return here


def by_name(findings: Iterable[Finding]) -> dict[str, Finding]:
    results = list(findings)
    named = {one.name: one for one in results}
    assert len(named) == len(results)
    assert all(one.detail for one in results)
    return named


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    printed = json.loads(capsys.readouterr().out)
    return {one["name"]: one for part in printed["sections"] for one in part["findings"]}


@pytest.mark.long
def test_doctor_finds_no_problem_in_the_test_environment(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--json"]) == 0
    result = told(capsys)
    for name in ("python", "torch", "onnxruntime", "host", "raspberry-pi-4", "local:", "digits", "working folder"):
        assert result[name]["state"] == "ok", result[name]
    assert "onnxruntime" in result["local:"]["detail"]
    assert {name for name, one in result.items() if one["needed"]} >= {"python", "torch", "local:", "working folder"}
    emulator = result["emulator:raspberry-pi-4"]
    assert (emulator["state"], emulator["fix"]) == ("absent", "edgeprune emulator install raspberry-pi-4")


@pytest.mark.long
def test_without_the_basics_it_ends_with_3_and_prints_the_fix(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = elsewhere / "pyproject.toml"
    needs = "name = 'edgeprune'\nrequires-python = '>=3.10'\ndependencies = ['click>=8', 'no-such-package>=1.5']"
    project.write_text(f"[project]\n{needs}\n")
    monkeypatch.setattr(package_checks, "_PROJECT", project)
    assert run(["doctor"]) == 3
    printed = capsys.readouterr()
    assert "!!  no-such-package  " in printed.out
    assert "-m pip install 'no-such-package>=1.5'" in printed.out
    assert "  ok  click " in printed.out
    assert "no-such-package" in printed.err


def test_package_of_another_version_is_reported() -> None:
    result = package_checks._package(Requirement("click<1"), {})
    assert (result.state, result.needed) == ("bad", True)
    assert result.fix is not None
    assert result.fix.endswith("-m pip install 'click<1'")


def test_package_that_fails_to_import_is_reported(elsewhere: Path) -> None:
    (elsewhere / "unfit.py").write_text("raise ImportError('libcudart.so.12: cannot open shared object file')")
    (elsewhere / "deadly.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)")
    assert package_checks._problem("json") is None
    assert package_checks._problem("deadly") == "it was killed by signal 4"
    problem = package_checks._problem("unfit")
    assert problem is not None
    assert "libcudart.so.12" in problem
    result = package_checks._package(Requirement("click"), {"click": problem})
    assert result.state == "bad"
    assert "ImportError: libcudart" in result.detail
    assert result.fix is not None
    assert "--force-reinstall" in result.fix


def test_requirements_are_those_of_the_installed_package_where_there_is_no_checkout(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_checks, "_PROJECT", elsewhere / "pyproject.toml")
    expected, python = package_checks.requirements()
    assert {"torch", "click"} <= {requirement.name for requirement in expected}
    assert "pytest" not in {requirement.name for requirement in expected}
    assert python.contains("3.11")


def test_every_runtime_but_tensorrt_has_a_package() -> None:
    results = {name: backend(name).package for name in names()}
    assert {name for name, package in results.items() if package is None} == {"tensorrt"}
    assert all(installed(package) for package in results.values() if package is not None)


def test_targets_of_the_working_folder_are_seen_and_judged(elsewhere: Path) -> None:
    (elsewhere / "targets").mkdir()
    (elsewhere / "targets/old.toml").write_text("name = 'old'\nruntime = {versions = '<1'}\n")
    (elsewhere / "targets/wrong.toml").write_text("name = 'wrong'\nruntime = {threads = 0}\n")
    result = by_name(target_checks.targets())
    assert result.keys() == set(Target.available())
    assert result["old"].state == "bad"
    assert result["old"].fix is not None
    assert result["old"].fix.endswith("-m pip install 'onnxruntime<1'")
    assert result["wrong"].state == "bad"
    assert "runtime.threads" in result["wrong"].detail
    assert result["jetson-orin-nano"].state == "ok"
    assert "the board builds the engine" in result["jetson-orin-nano"].detail


@pytest.mark.long
def test_named_devices_are_connected_to(elsewhere: Path) -> None:
    (elsewhere / "devices.toml").write_text("[shed]\nuri = 'ssh://127.0.0.1:9'\n[odd]\nuri = 'carrier-pigeon:x'\n")
    result = by_name(device_checks.devices())
    assert result["local:"].state == "ok"
    assert result["emulator:microcontroller"].state == "ok"
    assert "TFLite Micro" in result["emulator:microcontroller"].detail
    assert result["shed"].state == "bad"
    assert "127.0.0.1" in result["shed"].detail
    assert result["odd"].state == "bad"
    assert "carrier-pigeon" in result["odd"].detail
    (elsewhere / "devices.toml").write_text("shed = 1\n")
    assert by_name(device_checks.devices())["devices.toml"].state == "bad"


def test_microcontroller_without_tflite_micro_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(extras.MODULES, "mcu", ("no_such_module",))
    result = device_checks._device("emulator:microcontroller", "emulator:microcontroller")
    assert result.state == "absent"
    assert "pip install 'edgeprune[mcu]'" in result.detail


@pytest.mark.long
def test_a_device_without_a_runtime_has_the_line_that_installs_one(elsewhere: Path) -> None:
    if not (Path(sshd.SERVER).is_file() and shutil.which("ssh")):
        pytest.skip("needs sshd and ssh: scripts/system installs them")
    with sshd.server(elsewhere / "sshd") as server:
        bare = server.uri(python=f"{sys.executable} -S")  # without what is installed
        (elsewhere / "devices.toml").write_text(f"[whole]\nuri = '{server.uri()}'\n[bare]\nuri = '{bare}'\n")
        result = by_name(device_checks.devices())
    assert result["whole"].state == "ok"
    assert f"onnxruntime {version('onnxruntime')}" in result["whole"].detail
    assert result["bare"].state == "bad"
    assert "onnxruntime" not in result["bare"].detail
    assert result["bare"].fix is not None
    assert result["bare"].fix.startswith(f"{sys.executable} -m pip install ")


def test_missing_programs_have_an_apt_command_if_apt_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(tool_checks, "_EXTRA_FOLDERS", ())
    without = by_name(tool_checks.tools())
    assert (without["ssh"].state, without["ssh"].fix) == ("absent", None)
    for name, text in (("apt-get", "echo apt 2.6"), ("git", "exit 0")):
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    (folder / "ssh").write_text("no program\0")
    (folder / "ssh").chmod(0o755)
    result = by_name(tool_checks.tools())
    assert result["ssh-keygen"].fix == "sudo apt-get install openssh-client"
    assert result["apt-get"].detail == "apt 2.6"
    assert (result["git"].state, result["git"].detail) == ("ok", str(folder / "git"))
    assert result["ssh"].state == "bad"
    assert result["trtexec"].fix is None


def test_recipes_without_data_or_weights_say_how_to_give_them(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEPRUNE_DATA", str(elsewhere / "none"))
    result = by_name(folder_checks.recipes())
    assert result["digits"].state == "ok"
    assert result["cifar10-resnet56"].state == "absent"
    assert result["cifar10-resnet56"].fix == "edgeprune build cifar10-resnet56 --data-dir FOLDER"
    (elsewhere / "recipes/own").mkdir(parents=True)
    (elsewhere / "recipes/own/recipe.toml").write_text("name = 'own'\n")
    assert by_name(folder_checks.recipes())["own"].state == "bad"


def test_size_of_caches_is_reported(elsewhere: Path) -> None:
    assert by_name(folder_checks.folders())["stage results"].state == "absent"
    (elsewhere / ".edgeprune").mkdir()
    (elsewhere / ".edgeprune/some").write_bytes(b"x" * 12_345)
    result = by_name(folder_checks.folders())["stage results"]
    assert result.state == "ok"
    assert "12.35 kB" in result.detail or "12.34 kB" in result.detail
