"""Devices over ssh, on a real server, with everything that goes wrong on the way."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from edgeprune.devices import device
from edgeprune.devices.base import ConnectionLostError
from edgeprune.devices.remote import MARK, remote_agent
from edgeprune.errors import DeviceError, InputError
from tests.devices import sshd
from tests.devices.sshd import Server
from tests.imports import imported

pytestmark = pytest.mark.skipif(
    not (Path(sshd.SERVER).is_file() and shutil.which("ssh")), reason="needs sshd and ssh: scripts/system installs them"
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with sshd.server(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """A server on which every test leaves nothing."""
    yield running
    assert running.is_clean()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own, to be changed and killed."""
    with sshd.server(tmp_path / "sshd") as server:
        yield server


def script(folder: Path, code: str, name: str = "script.py") -> Path:
    path = folder / name
    path.write_text(code, encoding="utf-8")
    return path


_ECHO = "import sys\nfor line in sys.stdin:\n    print(line.strip().upper(), flush=True)\n"


@pytest.mark.long
def test_files_programs_and_conversations(server: Server, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "model.bin").write_bytes(content)
    double = script(tmp_path, "import sys\nopen(sys.argv[2], 'wb').write(2 * open(sys.argv[1], 'rb').read())\n")
    with device(server.uri()).open() as workspace:
        (folder,) = server.left()
        assert folder.stat().st_mode & 0o777 == 0o700
        model = workspace.push(tmp_path / "model.bin")
        assert Path(model).is_relative_to(folder)
        there = workspace.path("double.bin")
        assert workspace.run([workspace.push(double), model, there], timeout_s=300) == ""
        workspace.pull(there, tmp_path / "back.bin")
        assert (tmp_path / "back.bin").read_bytes() == 2 * content
        with pytest.raises(DeviceError, match=rf"none\.bin: {os.strerror(errno.ENOENT)}"):
            workspace.pull(workspace.path("none.bin"), tmp_path / "none.bin")
        talks = [workspace.converse([workspace.push(script(tmp_path, _ECHO, "echo.py"))]) for _ in range(2)]
        for index, talk in enumerate(talks):
            talk.send(f"n{index}")
        assert [talk.receive(timeout_s=300) for talk in talks] == ["N0", "N1"]


@pytest.mark.long
def test_output_of_the_login_shell_is_ignored(own: Server, tmp_path: Path) -> None:
    (own.folder / "greeting").write_text("echo Welcome to the board\necho '[1, 2]'\n")
    with device(own.uri()).open() as workspace:
        assert workspace.run([workspace.push(script(tmp_path, "print(1)"))], timeout_s=300) == "1\n"
        talk = workspace.converse([workspace.push(script(tmp_path, _ECHO, "echo.py"))])
        talk.send("a")
        assert talk.receive(timeout_s=300) == "A"


@pytest.mark.long
def test_background_jobs_of_the_login_shell_are_ended(
    own: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeprune.devices.subprocess_channel._END_S", 2)
    login = own.folder / "login"
    login.write_text(
        'case "$SSH_ORIGINAL_COMMAND" in *echo.py*) (sleep 600; true); esac; exec sh -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    with open(own.folder / "server", "a", encoding="utf-8") as config:
        config.write(f"ForceCommand sh {login}\n")
    own.stop()
    own.start()
    with device(own.uri()).open() as workspace:
        workspace.converse([workspace.push(script(tmp_path, _ECHO, "echo.py"))])
        end = time.monotonic() + 60
        while b"sleep\x00600\x00" not in map(sshd.argv, own.programs()):
            assert time.monotonic() < end
            time.sleep(0.05)
    assert own.is_clean(within_s=30)


@pytest.mark.long
def test_arguments_with_special_characters_are_quoted(server: Server, tmp_path: Path) -> None:
    odd = tmp_path / 'it\'s a "model"; $(touch x) `id` & \\ ü\n.py'
    odd.write_text("import sys\nprint(ascii(sys.argv))\n")
    arguments = ["a b", "'", '"', "$HOME", "*", "", "\\", "ü", ";exit 3"]
    with device(server.uri()).open() as workspace:
        there = workspace.push(odd)
        printed = workspace.run([there, *arguments], timeout_s=300)
    assert printed.strip() == ascii([there, *arguments])
    assert Path(there).name == odd.name


@pytest.mark.long
def test_pushed_files_keep_their_folders(server: Server, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "helper.py").write_text(f"NAME = {name!r}\n")
        script(tmp_path / name, "import helper\nprint(helper.NAME)\n")
    with device(server.uri()).open() as workspace:
        there = [workspace.push(tmp_path / name / "script.py", tmp_path / name / "helper.py") for name in ("a", "b")]
        assert [workspace.run([path], timeout_s=300).strip() for path in there] == ["a", "b"]
        script(tmp_path / "a", "print('changed')\n")
        assert workspace.push(tmp_path / "a" / "script.py") == there[0]
        assert workspace.run([there[0]], timeout_s=300) == "changed\n"


@pytest.mark.long
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise SystemExit('no')", r"script\.py .*exit code 1\b.* no$"),
        ("import os; os.abort()", r"script\.py .*signal 6\b"),
        ("import time; time.sleep(600)", r"script\.py .*\b0\.5 s"),
    ],
    ids=["exit", "abort", "silence"],
)
def test_failed_program_is_an_error_with_its_output(server: Server, tmp_path: Path, code: str, reason: str) -> None:
    with device(server.uri()).open() as workspace, pytest.raises(DeviceError, match=reason) as raised:
        workspace.run([workspace.push(script(tmp_path, code))], timeout_s=0.5 if "sleep" in code else 20)
    assert not isinstance(raised.value, ConnectionLostError)


@pytest.mark.long
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (
            "print(1, flush=True); raise SystemExit('out of words')",
            r"exit code 1\b.* out of words$",
        ),
        ("import os; print(1, flush=True); os.kill(os.getpid(), 11)", r"signal 11\b"),
        ("import os, signal; print(1, flush=True); os.kill(os.getpid(), signal.SIGSTOP)", r"\b0\.5 s"),
    ],
    ids=["exit", "crash", "stopped"],
)
def test_interrupted_conversation_leaves_no_processes_or_files(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, reason: str
) -> None:
    monkeypatch.setattr("edgeprune.devices.subprocess_channel._END_S", 2)
    with device(server.uri()).open() as workspace:
        talk = workspace.converse([workspace.push(script(tmp_path, code))])
        assert talk.receive(timeout_s=300) == "1"
        with pytest.raises(DeviceError, match=reason):
            talk.receive(timeout_s=0.5 if "SIGSTOP" in code else 20)


@pytest.mark.long
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_error_or_interrupt_leaves_nothing_on_the_device(
    server: Server, tmp_path: Path, error: type[BaseException]
) -> None:
    def fail() -> None:
        with device(server.uri()).open() as workspace:
            talk = workspace.converse([workspace.push(script(tmp_path, _ECHO))])
            talk.send("a")
            assert talk.receive(timeout_s=300) == "A"
            raise error

    with pytest.raises(error):
        fail()


# What a shell starts in the background ignores Ctrl-C, and so does all that it starts: tests may be that.
_CLIENT = """
import signal, sys, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)
from edgeprune.devices import device
with device(sys.argv[1]).open() as workspace:
    talk = workspace.converse([workspace.push(Path(sys.argv[2]))])
    print(talk.receive(timeout_s=30), flush=True)
    time.sleep(600)
"""


@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=["ctrl-c", "term", "kill"])
def test_killed_edgeprune_leaves_nothing_on_the_device(server: Server, tmp_path: Path, how: signal.Signals) -> None:
    busy = script(
        tmp_path, "import subprocess, sys\nsubprocess.Popen(['sleep', '600'])\nprint(1, flush=True)\nwhile 1: pass\n"
    )
    argv = [sys.executable, "-c", _CLIENT, server.uri(), str(busy)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as client:
        try:
            assert client.stdout is not None
            assert client.stdout.readline() == b"1\n"
            assert len(server.programs()) >= 3
            os.killpg(client.pid, how)
            client.wait(60)
        finally:
            client.kill()
    assert server.is_clean()


@pytest.mark.long
def test_lost_connection_is_an_error_and_the_device_is_cleaned(own: Server, tmp_path: Path) -> None:
    busy = script(tmp_path, "print(1, flush=True)\nwhile True: pass\n")
    with device(own.uri()).open() as workspace:
        talk = workspace.converse([workspace.push(busy)])
        assert talk.receive(timeout_s=300) == "1"
        own.kill()
        with pytest.raises(ConnectionLostError, match=r"ssh://") as raised:
            talk.receive(timeout_s=60)
        with pytest.raises(ConnectionLostError):
            workspace.push(script(tmp_path, _ECHO, "other.py"))
    assert raised.value.exit_code == 5
    assert own.is_clean()


@pytest.mark.long
def test_lost_connection_does_not_change_the_pulled_file(own: Server, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "file.bin").write_bytes(b"before")
    with device(own.uri()).open() as workspace:
        (there,) = own.left()
        os.mkfifo(there / "slow.bin")

        def write_and_hang_up() -> None:
            with open(there / "slow.bin", "wb") as slow:
                slow.write(bytes(6_000_000))
                slow.flush()
                until = time.monotonic() + 60
                while not any(path.stat().st_size for path in folder.glob(".file.bin.*")) and time.monotonic() < until:
                    time.sleep(0.01)
                own.kill()

        writer = threading.Thread(target=write_and_hang_up)
        writer.start()
        with pytest.raises(ConnectionLostError):
            workspace.pull(str(there / "slow.bin"), folder / "file.bin")
        writer.join()
    assert [path.name for path in folder.iterdir()] == ["file.bin"]
    assert (folder / "file.bin").read_bytes() == b"before"


@pytest.mark.long
def test_unknown_host_key_is_refused(own: Server) -> None:
    available = own.folder / "known"
    line = available.read_text()
    available.write_text("")
    started = time.monotonic()
    with pytest.raises(DeviceError, match=r"ssh://.*verification failed"):
        device(own.uri()).open().__enter__()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(own.folder / "other")], check=True)
    key = (own.folder / "other.pub").read_text().split()[1]
    available.write_text(f"{' '.join(line.split()[:2])} {key}\n")
    with pytest.raises(DeviceError, match=r"ssh://.*has changed.*known_hosts"):
        device(own.uri()).open().__enter__()
    assert time.monotonic() - started < 300


def test_refused_login_is_an_error_without_a_prompt(own: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    (own.folder / "user.pub").write_text("")
    monkeypatch.setenv("SSH_ASKPASS", "/bin/false")
    with pytest.raises(DeviceError, match=r"ssh://.*Permission denied.*ssh-copy-id"):
        device(own.uri()).open().__enter__()


def behind(jump: Server, target: Server) -> str:
    """The target by a name of an ssh config that goes through the jump host."""
    config = target.folder / "jump"
    config.write_text(
        f"Host jump\nHostName 127.0.0.1\nPort {jump.port}\nIdentityFile {jump.folder}/user\n"
        f"UserKnownHostsFile {jump.folder}/known\n"
        f"Host board\nHostName 127.0.0.1\nPort {target.port}\nProxyJump jump\n{target.config.read_text()}"
    )
    return f"ssh://board?{urlencode({'ssh_config': config, 'python': sys.executable})}"


@pytest.mark.long
def test_jump_host_of_the_ssh_config_is_used(server: Server, own: Server, tmp_path: Path) -> None:
    with device(behind(own, server)).open() as workspace:
        assert workspace.run([workspace.push(script(tmp_path, "print(1)"))], timeout_s=300) == "1\n"
    assert "Accepted publickey" in (own.folder / "log").read_text()


@pytest.mark.long
def test_jump_host_never_prompts(server: Server, own: Server) -> None:
    (own.folder / "known").write_text("")
    with pytest.raises(DeviceError, match=r"ssh://board: .*verification failed"):
        device(behind(own, server)).open().__enter__()


def test_unreachable_host_is_an_error(own: Server) -> None:
    own.stop()
    with pytest.raises(DeviceError, match=r"ssh://.*Connection refused"):
        device(own.uri()).open().__enter__()


@pytest.mark.long
def test_device_without_python_is_an_error_with_the_package_to_install(server: Server) -> None:
    with pytest.raises(DeviceError, match=r"/opt/none/python.*ssh://.*3\.8"):
        device(server.uri(python="/opt/none/python")).open().__enter__()
    with pytest.raises(DeviceError, match=r"/bin/false .*ssh://.* exit code 1\b"):
        device(server.uri(python="/bin/false")).open().__enter__()
    with pytest.raises(DeviceError, match=r"/bin/echo hello .*ssh://.* exit code 0\b"):
        device(server.uri(python="/bin/echo hello")).open().__enter__()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.long
def test_full_disk_of_the_device_is_reported(tmp_path: Path, small: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(bytes(3_000_000))
    with sshd.server(tmp_path / "sshd", tmp=small) as server:
        full = pytest.raises(DeviceError, match=rf"ssh://.*: model\.onnx: {os.strerror(errno.ENOSPC)}")
        with device(server.uri()).open() as workspace, full as raised:
            workspace.push(model)
        assert raised.value.exit_code == 5
        assert server.is_clean()


def test_remote_agent_needs_only_python_3_8() -> None:
    assert imported(Path(remote_agent.__file__)) <= sys.stdlib_module_names
    assert remote_agent.MARK == MARK


@pytest.mark.long
def test_file_size_limit_of_the_device_is_reported(tmp_path: Path) -> None:
    """As a quota says it, without the rights that a full disk takes to make."""
    model = tmp_path / "model.onnx"
    model.write_bytes(bytes(3_000_000))
    with sshd.server(tmp_path / "sshd", file_bytes=1 << 20) as server:
        large = pytest.raises(DeviceError, match=rf"ssh://.*: model\.onnx: {os.strerror(errno.EFBIG)}")
        with device(server.uri()).open() as workspace, large:
            workspace.push(model)
        assert server.is_clean()


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("ssh:kitchen", "'ssh:kitchen'.*ssh://user@host:port"),
        ("ssh://", "'ssh://'.*ssh://user@host:port"),
        ("ssh://-oProxyCommand=x", "'ssh://-oProxyCommand=x'.*ssh://user@host:port"),
        ("ssh://-l@host", "'ssh://-l@host'.*ssh://user@host:port"),
        ("ssh://pi@host:99999", r"\b99999\b.*\b65535\b"),
        ("ssh://pi@host?pyton=x", "'pyton=x'.*python, ssh_config"),
        ("ssh://pi@host?python", r"'\?python'.*\?name=value"),
        ("ssh://pi@host?python='", "python: .*No closing quotation"),
    ],
)
def test_invalid_address_is_refused(uri: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        device(uri)


def test_devices_have_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    with pytest.raises(InputError, match=r"'kitchen'.*devices\.toml"):
        device("kitchen")
    (tmp_path / "user" / "edgeprune").mkdir(parents=True)
    (tmp_path / "user" / "edgeprune" / "devices.toml").write_text(
        '[kitchen]\nuri = "ssh://pi@old"\n[shed]\nuri = "ssh://[fe80::1%25eth0]:22"\n'
    )
    (tmp_path / "devices.toml").write_text('[kitchen]\nuri = "ssh://pi@new"\npython = "my venv/bin/python -I"\n')
    result = device("kitchen")
    assert (result.uri, result.python) == ("ssh://pi@new", "my venv/bin/python -I")
    assert device("shed").uri.endswith(":22")
    with pytest.raises(InputError, match=r"'kitchn'.*'kitchen'"):
        device("kitchn")
    for wrong in ("kitchen = 1", "[kitchen]\nurl = 'x'", "[kitchen]\nuri = 'ssh://x'\npython = ['a']", "="):
        (tmp_path / "devices.toml").write_text(wrong)
        with pytest.raises(InputError, match=r"devices\.toml"):
            device("kitchen")
