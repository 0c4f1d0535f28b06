"""Listings answer without torch and agree with the registries; commands help with mistyped names."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgeprune.cli import run
from edgeprune.cli.static_registry import static_members


@pytest.mark.parametrize(
    ("package", "base", "fact"),
    [("edgeprune.criteria", "Criterion", "needs"), ("edgeprune.schedules", "Schedule", "starts")],
)
def test_static_listing_agrees_with_the_registry(package: str, base: str, fact: str) -> None:
    import importlib

    from edgeprune.model.registry import documentation, options_of

    loaded = importlib.import_module(package)
    listed = static_members(package, base)
    assert list(listed) == list(loaded.registered())
    for name, kind in loaded.registered().items():
        assert listed[name].documentation == documentation(kind, getattr(loaded, base))
        assert listed[name].options == options_of(kind)
        assert listed[name].facts[fact] == getattr(kind, fact)


@pytest.mark.parametrize("arguments", [["criteria"], ["criteria", "fisher"], ["schedules"], ["schedules", "iterative"]])
def test_listing_loads_no_torch(arguments: list[str]) -> None:
    code = (
        f"import sys\nfrom edgeprune.cli import run\nassert run({arguments!r}) == 0\n"
        "assert not {'torch', 'numpy', 'pydantic'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("group", "name"),
    [("targets", "raspberry-pi-5"), ("recipes", "digits"), ("criteria", "l2"), ("schedules", "gradual")],
)
def test_member_is_shown_without_show(group: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = []
    for arguments in ([group, name], [group, "show", name], ["--verbose", group, name]):
        assert run(arguments) == 0
        lines.append(capsys.readouterr().out)
    assert lines[0] == lines[1] == lines[2] != ""
    assert run([group, "--json", name]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == name


@pytest.mark.long
@pytest.mark.parametrize("group", ["criteria", "schedules"])
def test_listing_fits_the_terminal(
    group: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert run([group, "--json"]) == 0
    members = json.loads(capsys.readouterr().out)
    assert run([group]) == 0
    printed = [capsys.readouterr().out]
    for member in members:
        assert run([group, member["name"]]) == 0
        printed.append(capsys.readouterr().out)
        words = member["documentation"].replace("``", "`").replace("Args:", "Options:").split()
        assert " ".join(words) in " ".join(printed[-1].split())
    for text in printed:
        assert "``" not in text
        assert max(map(len, text.splitlines())) <= 60


def test_own_class_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code = "from edgeprune.criteria import Criterion\nclass Mine(Criterion):\n    '''Mine.'''\n    name = 'm'\n"
    (tmp_path / "mine.py").write_text(code)
    assert run(["criteria", "mine.py:Mine", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["description"] == "Mine."


@pytest.mark.parametrize(
    ("arguments", "code", "suggested"),
    [
        (["biuld"], 2, "build"),
        (["compere"], 2, "compare"),
        (["emulator", "instal"], 2, "install"),
        (["criteria", "fishr"], 3, "fisher"),
        (["schedules", "iterativ"], 3, "iterative"),
        (["targets", "raspbery-pi-5"], 3, "raspberry-pi-5"),
        (["recipes", "digit"], 3, "digits"),
    ],
)
def test_nearest_name_is_suggested(
    arguments: list[str], code: int, suggested: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == code
    assert f"'{suggested}'?" in capsys.readouterr().err


def test_bare_command_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    bare = capsys.readouterr()
    assert run(["--help"]) == 0
    assert bare.out == capsys.readouterr().out
    assert bare.err == ""


def test_sigterm_ends_a_command_like_an_interrupt() -> None:
    code = (
        "import sys, time\nfrom edgeprune import cli\n"
        "def wait(_):\n    print('ready', flush=True)\n    time.sleep(60)\n"
        "cli.root_command.main = lambda *_, **__: wait(0)\ncli.main()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 130
        assert b"Traceback" not in process.stderr.read()


@pytest.mark.long
@pytest.mark.parametrize(
    ("before", "inputs", "expected"),
    [("", None, "PASSIVE"), ("", "ACTIVE", "ACTIVE"), ("import torch\n", None, None)],
    ids=["first", "set by the user", "after torch"],
)
def test_openmp_waits_passively(before: str, inputs: str | None, expected: str | None) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    if inputs is not None:
        environment["OMP_WAIT_POLICY"] = inputs
    code = f"{before}import edgeprune, os\nprint(os.environ.get('OMP_WAIT_POLICY'))"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    assert ended.stdout.strip() == str(expected)


def test_wait_policy_hint_is_printed_once_on_busy_cores(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from edgeprune.distributed_env import hint_at_wait_policy

    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    for load, hints in ((0.0, 0), (1000.0, 1)):
        monkeypatch.setattr(os, "getloadavg", lambda load=load: (load, load, load))
        hint_at_wait_policy.cache_clear()
        hint_at_wait_policy()
        hint_at_wait_policy()
        assert len([record for record in caplog.records if "OMP_WAIT_POLICY" in record.message]) == hints
