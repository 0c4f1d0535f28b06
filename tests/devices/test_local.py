"""This machine as a device: conversations with real child processes, well-behaved and not."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from edgeprune.devices import Capability, Local
from edgeprune.errors import DeviceError

_ECHO = "import sys\nfor line in sys.stdin:\n    print(line.strip().upper(), flush=True)\n"


def script(folder: Path, code: str) -> Path:
    path = folder / "script.py"
    path.write_text(code, encoding="utf-8")
    return path


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_conversation_ends_with_the_program(tmp_path: Path) -> None:
    code = "import os\nprint(os.getpid(), flush=True)\n" + _ECHO
    with Local().open() as workspace:
        talk = workspace.converse([workspace.push(script(tmp_path, code))])
        pid = int(talk.receive(timeout_s=300))
        talk.send("hello")
        talk.send("again")
        assert [talk.receive(timeout_s=300), talk.receive(timeout_s=300)] == ["HELLO", "AGAIN"]
        assert alive(pid)
    assert not alive(pid)


def test_two_conversations_at_a_time(tmp_path: Path) -> None:
    path = script(tmp_path, _ECHO)
    with Local().open() as workspace:
        talks = [workspace.converse([workspace.push(path)]) for _ in range(2)]
        for index, talk in enumerate(talks):
            talk.send(f"n{index}")
        assert [talk.receive(timeout_s=300) for talk in talks] == ["N0", "N1"]


def test_error_has_exit_code_and_last_output(tmp_path: Path) -> None:
    path = script(tmp_path, "import sys\nprint('one')\nsys.exit('no runtime here')\n")
    with Local().open() as workspace:
        talk = workspace.converse([workspace.push(path)])
        assert talk.receive(timeout_s=300) == "one"
        for _ in range(2):
            with pytest.raises(DeviceError, match=r"exit code 1\b.*no runtime here"):
                talk.receive(timeout_s=300)
        with pytest.raises(DeviceError, match=r"exit code 1\b"):
            talk.send("x" * 1_000_000)  # more than a pipe holds


def test_line_that_was_cut_is_not_an_answer(tmp_path: Path) -> None:
    path = script(tmp_path, """import os\nprint('whole\\n{"samples": [1, 2', end="", flush=True)\nos._exit(3)\n""")
    with Local().open() as workspace:
        talk = workspace.converse([workspace.push(path)])
        assert talk.receive(timeout_s=300) == "whole"
        with pytest.raises(DeviceError, match=r"exit code 3\b"):
            talk.receive(timeout_s=300)


def test_error_names_the_signal_of_a_killed_program(tmp_path: Path) -> None:
    path = script(tmp_path, "import os\nprint(os.getpid(), flush=True)\n" + _ECHO)
    with Local().open() as workspace:
        talk = workspace.converse([workspace.push(path)])
        os.kill(int(talk.receive(timeout_s=300)), signal.SIGKILL)
        with pytest.raises(DeviceError, match=r"signal 9\b"):
            talk.receive(timeout_s=300)


def test_timeout_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeprune.devices.subprocess_channel._END_S", 0.2)
    code = "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)\n"
    with Local().open() as workspace:
        talk = workspace.converse([workspace.push(script(tmp_path, code))])
        pid = int(talk.receive(timeout_s=300))
        os.kill(pid, signal.SIGSTOP)  # a stopped process does not even hear a request to end
        with pytest.raises(DeviceError, match=r"\b0\.1 s"):
            talk.receive(timeout_s=0.1)
    assert not alive(pid)


def test_an_exception_inside_leaves_no_process(tmp_path: Path) -> None:
    path = script(tmp_path, "import os\nprint(os.getpid(), flush=True)\n" + _ECHO)
    pids: list[int] = []

    def fail() -> None:
        with Local().open() as workspace:
            pids.append(int(workspace.converse([workspace.push(path)]).receive(timeout_s=300)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not alive(pids[0])


def test_garbage_is_a_line_like_any_other_and_a_flood_does_not_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeprune.devices.subprocess_channel._END_S", 0.2)
    code = (
        "import os, sys\nprint(os.getpid(), flush=True)\n"
        "while True:\n    sys.stdout.buffer.write(b'\\xff\\xfe\\x00 garbage\\n')\n"
    )
    with Local().open() as workspace:
        talk = workspace.converse([workspace.push(script(tmp_path, code))])
        pid = int(talk.receive(timeout_s=300))
        assert "garbage" in talk.receive(timeout_s=300)
    assert not alive(pid)


def test_local_device_describes_itself() -> None:
    assert Local().uri == "local:"
    assert Capability.MEMORY in Local().capabilities
    assert Capability.STATE in Local().capabilities


def test_files_written_by_a_program_are_fetched(tmp_path: Path) -> None:
    path = script(tmp_path, "import sys\nopen(sys.argv[1], 'w').write('written')\nprint('printed')\n")
    with Local().open() as workspace:
        there = workspace.path("out.txt")
        with pytest.raises(DeviceError, match=r"out\.txt"):
            workspace.pull(there, tmp_path / "here.txt")
        assert workspace.run([workspace.push(path), there], timeout_s=300) == "printed\n"
        workspace.pull(there, tmp_path / "here.txt")
    assert (tmp_path / "here.txt").read_text() == "written"
    assert not Path(there).parent.exists()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise SystemExit('no')", r"script\.py .*exit code 1\b.* no$"),
        ("import os; os.abort()", r"script\.py .*signal 6\b"),
        ("import time; time.sleep(600)", r"script\.py .*\b0\.5 s"),
    ],
    ids=["exit", "abort", "silence"],
)
def test_failed_program_is_an_error_with_its_output(tmp_path: Path, code: str, reason: str) -> None:
    with Local().open() as workspace, pytest.raises(DeviceError, match=reason):
        workspace.run([workspace.push(script(tmp_path, code))], timeout_s=0.5 if "sleep" in code else 20)
