"""The steps of a CI run, for three targets: planted regressions stop it, noise does not. And what runs these steps."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from edgeprune.bundle.manifest import FileEntry, Manifest
from edgeprune.bundle.measurements import Measurements
from edgeprune.devices.emulation import install
from edgeprune.errors import DeviceError
from edgeprune.files import sha256
from edgeprune.profile import Profile
from tests import quick_host
from tests.devices import unreachable

_ROOT = Path(__file__).parents[2]
_SCRIPT = _ROOT / "scripts" / "ci_example.sh"
_TARGETS = ("host", "raspberry-pi-4", "nucleo-l4r5zi")
_EMULATED = ("raspberry-pi-4", "nucleo-l4r5zi")
_BUILD = "--epochs 2 --set prune.samples=64"
_MEASURED = ("latency_ms.", "memory_bytes")
_DEVICES = "host=local: raspberry-pi-4=emulator:raspberry-pi-4 nucleo-l4r5zi=emulator:microcontroller"


class Steps:
    """Runs the script in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        bin_folder = Path(sys.executable).parent
        self._environment = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}

    def run(self, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(_SCRIPT)], cwd=self.folder, env={**self._environment, "TARGETS": " ".join(_TARGETS), **variables},
            capture_output=True, text=True, check=False, timeout=1700,
        )  # fmt: skip

    def failed(self, target: str, out: str = "dist") -> set[str]:
        """What 'compare' found to be too much worse, by JUnit's XML."""
        suite = ET.parse(self.folder / out / f"compare-{target}.xml").getroot()
        return {case.get("name", "") for case in suite if case.find("failure") is not None}


def much_faster(bundle: Path, folder: Path) -> None:
    """Copy the bundle with times of the pruned network a thousand times shorter.

    Times of the dense network remain, as a comparison uses them to correct for the speed of the device.
    """
    shutil.copytree(bundle, folder)
    path = folder / "profile.json"
    values = json.loads(path.read_text())
    for model in (model for name, model in values["models"].items() if name != "dense"):
        median = model["latency_ms"]["p50"] / 1000
        model["blocks_ms"] = [[median] * len(block) for block in model["blocks_ms"]]
        model["latency_ms"] |= dict.fromkeys(("p50", "p90", "p95", "p99", "min", "mean"), median)
    path.write_text(json.dumps(values))
    measured = Measurements.load(folder)
    entry = FileEntry(sha256=sha256(path), bytes=path.stat().st_size)
    measured = measured.model_copy(update={"files": {**measured.files, "profile.json": entry}})
    (folder / "measured.json").write_text(measured.to_json())


@pytest.mark.long
@pytest.mark.timeout(3400)
def test_ci_script_fails_on_planted_regressions_and_passes_noise(tmp_path: Path) -> None:
    try:
        install("raspberry-pi-4")
    except DeviceError as problem:
        unreachable.skip(str(problem))
        raise
    steps = Steps(tmp_path)
    quick_host.write(tmp_path)  # whether this machine is quiet is not what is tested

    # Which precision ships, as a lock that was committed says: measured, int8 could be faster by a hair one time and
    # not the next, and files would differ in size for it.
    chosen = {"recipes": {"digits": {"targets": {"host": {"int8": "slower"}}}}, "schema": 1}
    (tmp_path / "edgeprune.lock").write_text(json.dumps(chosen))

    (tmp_path / "up").mkdir()
    base = steps.run(BUILD=_BUILD, OUT="base", COMMENT="cat > posted.md", UPLOAD="cp -t up")
    assert base.returncode == 0, base.stderr
    assert {path.name for path in (tmp_path / "up").iterdir()} == {f"digits-{target}.tar.gz" for target in _TARGETS}
    assert (tmp_path / "posted.md").read_text().count("no bundle of the base branch") == 3
    # Another machine, with nothing in its cache.
    noise = steps.run(
        BUILD=f"{_BUILD} --cache anew",
        BASE="base",
        DEVICES=_DEVICES,
        # tests/report/test_comparison.py has what noise may do; here it must not matter what else the machine does.
        FAIL_ON="latency_ms.p50:+900% accuracy:-0.5% file_bytes:+1% macs:+1%",
        UNDECIDED="pass",
    )
    assert noise.returncode == 0, noise.stderr
    assert "+ edgeprune profile dist/digits-host --device local: --baseline base/digits-host" in noise.stderr
    for target in _EMULATED:
        profile = Profile.from_json((tmp_path / "dist" / f"digits-{target}" / "profile.json").read_text())
        assert profile.device["uri"].startswith("emulator:")
        assert {model.latency_ms.kind for model in profile.models.values()} == {"emulated"}
    comment = (tmp_path / "dist" / "comment.md").read_text()
    assert (comment.count("no regression"), comment.count("Base and new were measured in alternating blocks on")) == (
        3,
        3,
    )
    assert [steps.failed(target) for target in _TARGETS] == [set(), set(), set()]

    # How much slower a larger network is depends on what else the machine does: a thousand times is seen on any.
    much_faster(tmp_path / "base" / "digits-host", tmp_path / "fast" / "digits-host")
    larger = steps.run(BUILD=f"{_BUILD} --budget macs=1.0", BASE="fast", TARGETS="host")
    assert larger.returncode == 4, larger.stderr
    assert {"macs", "params", "file_bytes", "latency_ms.p50"} <= steps.failed("host")
    assert "accuracy" not in steps.failed("host")
    assert "**digits for host: " in (tmp_path / "dist" / "comment.md").read_text()

    small = {
        "BUILD": "--epochs 0 --set prune.samples=64 --budget macs=0.05",
        "BASE": "base",
        "TARGETS": "host",
        "OUT": "small",
    }
    worse = steps.run(**small)
    assert worse.returncode == 4, worse.stderr
    assert {name for name in steps.failed("host", "small") if not name.startswith(_MEASURED)} == {"accuracy"}

    # A limit of exactly the observed drop is inside the interval.
    accuracies = [
        Manifest.load(tmp_path / folder / "digits-host").metrics.shipped.accuracy for folder in ("base", "small")
    ]
    assert accuracies[0] is not None
    assert accuracies[1] is not None
    limit = f"accuracy:-{100 * (accuracies[0] - accuracies[1]):.4f}%"
    undecided = steps.run(**small, FAIL_ON=limit)
    assert undecided.returncode == 4, undecided.stderr
    assert "no regression, 1 undecided" in (tmp_path / "small" / "comment.md").read_text()
    assert steps.failed("host", "small") == {"accuracy"}
    accepted = steps.run(**small, FAIL_ON=limit, UNDECIDED="pass")
    assert accepted.returncode == 0, accepted.stderr
    assert steps.failed("host", "small") == set()


@pytest.mark.long
def test_ci_script_reports_failed_target_and_missed_budget(tmp_path: Path) -> None:
    steps = Steps(tmp_path)
    ended = steps.run(TARGETS="host hots")
    assert ended.returncode == 3
    assert "did you mean 'host'" in ended.stderr
    options = {"COMMENT": "cat > posted.md", "UPLOAD": "cp -t nowhere"}  # which ends with 1
    ended = steps.run(TARGETS="host", BUILD="--epochs 0 --budget file_bytes=100B", **options)
    assert ended.returncode == 4
    assert "file_bytes is " in ended.stderr
    assert "nowhere" in ended.stderr
    assert (tmp_path / "posted.md").read_text().startswith("**digits for host**: there is no bundle")


def _shell(text: str, folder: Path) -> None:
    script = folder / "step.sh"
    script.write_text(text)
    subprocess.run(["sh", "-n", str(script)], check=True)


def test_github_action_is_valid(tmp_path: Path) -> None:
    action = yaml.safe_load((_ROOT / "action.yml").read_text())
    assert action["runs"]["using"] == "composite"
    text = (_ROOT / "action.yml").read_text()
    for name in action["inputs"]:
        assert f"inputs.{name}" in text.partition("runs:")[2], name
    used = {part.split()[0].rstrip("}") for part in text.split("inputs.")[1:]}
    assert used <= action["inputs"].keys()
    for step in action["runs"]["steps"]:
        assert ("uses" in step) != ("run" in step)
        if "run" in step:
            assert "${{" not in step["run"], "an expression in a script is a way in for who names a branch"
            assert step["shell"] == "sh"
            _shell(step["run"], tmp_path)
    assert "scripts/ci_example.sh" in text
    assert shutil.which("sh")


def test_gitlab_template_is_valid(tmp_path: Path) -> None:
    job = yaml.safe_load((_ROOT / "ci" / "gitlab.yml").read_text())[".edgeprune"]
    for line in (*job["before_script"], *job["script"]):
        _shell(line, tmp_path)
    assert "sh scripts/ci_example.sh" in job["script"]
    assert job["artifacts"]["reports"]["junit"] == "dist/compare-*.xml"
    assert job["artifacts"]["when"] == "always"


def test_script_is_posix_shell() -> None:
    assert os.access(_SCRIPT, os.X_OK)
    subprocess.run(["sh", "-n", str(_SCRIPT)], check=True)
    # Every variable that the templates set is one that the script reads.
    read = _SCRIPT.read_text()
    action = yaml.safe_load((_ROOT / "action.yml").read_text())
    (run,) = (step for step in action["runs"]["steps"] if step.get("id") == "run")
    job = yaml.safe_load((_ROOT / "ci" / "gitlab.yml").read_text())[".edgeprune"]
    for name in (*run["env"], *job["variables"]):
        assert f"${{{name}:-" in read or f"${{{name}}}" in read, name
