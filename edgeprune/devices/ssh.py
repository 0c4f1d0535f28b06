"""Device reached through the system's OpenSSH client, with the user's configuration, agent and known hosts.

All sessions share one connection. One of them runs ``remote/remote_agent.py`` on the device. The agent keeps a private
folder. When the connection ends for any reason, it kills the processes that were started and removes the folder.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeprune import files, safe_json, subprocesses
from edgeprune.devices.base import (
    EMULATED,
    Capability,
    ConnectionLostError,
    Kind,
    Workspace,
    kind_option,
    options,
    transport,
)
from edgeprune.devices.remote import MARK
from edgeprune.devices.ssh_conversation import LOST, NOT_FOUND, SshConversation, connection_lost, exit_code
from edgeprune.devices.subprocess_channel import ChildProcess, ProgramEndedError, cannot_start, how_it_ended, last_words
from edgeprune.errors import DeviceError, InputError

CONFIG = "EDGEPRUNE_SSH_CONFIG"
"""Environment variable with a config file for ssh, instead of the user's."""
_CONNECT_S = 15
_READY_S = 60.0
_ANSWER_S = 60.0
_PART_BYTES = 1 << 20
_AGENT = Path(__file__).parent / "remote" / "remote_agent.py"
# A Unix socket's path has at most 107 bytes here; ssh makes it under a name that is longer by 17.
_LONGEST_FOLDER = 60
_ADDRESS = re.compile(
    r"//(?:(?P<user>[^@/:\s]+)@)?(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^@/:\[\]\s]+)(?::(?P<port>\d{1,5}))?/?"
)
# Whatever the user's config says: never ask, never trust a new key, carry nothing but what is asked for.
_SETTINGS = (
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    f"ConnectTimeout={_CONNECT_S}",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
    "RequestTTY=no",
    "RemoteCommand=none",
    "LogLevel=ERROR",
)


@dataclass(frozen=True)
class Ssh:
    """Device that is reached over SSH.

    Attributes:
        host: Name, address, or an alias in the ssh config.
        user: User name. None: from the ssh config.
        port: Port. None: from the ssh config.
        python: Command that starts Python on the device; relative paths start in the home folder.
        ssh_config: Config file for ssh. None: ``$EDGEPRUNE_SSH_CONFIG``, or the user's config.
        kind: ``emulated`` if the host is an emulator, such as QEMU's system mode.
    """

    host: str
    user: str | None = None
    port: int | None = None
    python: str = "python3"
    ssh_config: str | None = None
    kind: Kind = "measured"
    capabilities: frozenset[Capability] = field(default=frozenset(Capability), repr=False)

    @property
    def uri(self) -> str:
        user = "" if self.user is None else f"{self.user}@"
        return f"ssh://{user}{self.host}" + ("" if self.port is None else f":{self.port}")

    @contextmanager
    def open(self) -> Iterator[Workspace]:
        """Yield a workspace on the device; at the end, remove its folder and end its programs.

        Raises:
            DeviceError: The device cannot be reached, or has no Python; the message has the output of ssh.
        """
        with ExitStack() as stack:
            control = _control_folder()
            stack.callback(shutil.rmtree, control, ignore_errors=True)
            workspace = _SshWorkspace(self, control / "s")
            stack.callback(workspace.close)
            workspace.connect()
            yield workspace

    def client(self, *more: str) -> list[str]:
        """Return the arguments of an ssh client up to the host."""
        config = self.ssh_config or os.environ.get(CONFIG)
        argv = ["ssh", *(["-F", str(Path(config).expanduser())] if config else [])]
        argv += [part for setting in (*more, *_SETTINGS) for part in ("-o", setting)]
        argv += [] if self.port is None else ["-p", str(self.port)]
        argv += [] if self.user is None else ["-l", self.user]
        return [*argv, "--", self.host.strip("[]")]


@transport("ssh")
def _ssh(location: str) -> Ssh:
    uri = f"ssh:{location}"
    address, query_options = options(location, ("python", "ssh_config", EMULATED), uri=uri)
    match = _ADDRESS.fullmatch(address)
    if match is None or match["host"].startswith("-") or (match["user"] or "").startswith("-"):
        raise InputError(f"device: got '{uri}', must be ssh://user@host:port, where user and port are optional")
    port = None if match["port"] is None else int(match["port"])
    if port is not None and not 0 < port < 1 << 16:
        raise InputError(f"device {uri}: got port {port}, must be from 1 to 65535")
    python = query_options.get("python", "python3")
    try:
        shlex.split(python)
    except ValueError as problem:
        raise InputError(f"device {uri}: option python: got {python!r}, must be a command: {problem}") from problem
    kind = kind_option(query_options, uri=uri)
    return Ssh(match["host"], match["user"], port, python=python, ssh_config=query_options.get("ssh_config"), kind=kind)


def _control_folder() -> Path:
    """Create a private folder for the socket of the connection."""
    usual = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="edgeprune-", dir=usual if len(usual) <= _LONGEST_FOLDER else "/tmp"))  # noqa: S108


class _SshWorkspace:
    def __init__(self, device: Ssh, socket: Path) -> None:
        self._device = device
        self._socket = socket
        self._folder = ""
        self._agent: SshConversation | None = None
        self._conversations: list[SshConversation] = []
        self._places: dict[Path, str] = {}
        self._there: dict[str, tuple[str, str]] = {}

    def connect(self) -> None:
        python = self._device.python
        argv = self._device.client("ControlMaster=yes", f"ControlPath={self._socket}", "ControlPersist=no")
        source = _AGENT.read_text(encoding="utf-8")
        # A jump host is reached by a second ssh, which gets none of these settings; without a terminal it cannot ask.
        env = {**os.environ, "SSH_ASKPASS_REQUIRE": "never"}
        child = ChildProcess(
            [*argv, f"exec {_words(python)} -c {shlex.quote(source)}"], env, name="the agent", new_session=True
        )
        self._agent = SshConversation(child, self._device.uri)
        try:
            self._folder = self._beginning()
        except ConnectionLostError as problem:
            raise self._unreachable(child.last_words()) from problem
        except ProgramEndedError as problem:
            if problem.code == NOT_FOUND:
                raise DeviceError(
                    f"{python} does not exist on {self._device.uri} ({problem.words}): install Python 3.8 or newer "
                    '(sudo apt install python3), or set its path in devices.toml (python = "venv/bin/python")'
                ) from problem
            raise DeviceError(
                f"{python} on {self._device.uri} {how_it_ended(problem.code, problem.words)}"
            ) from problem

    def _beginning(self) -> str:
        """Return the folder from the agent's first line; output of the login shell may come before it."""
        assert self._agent is not None
        end = time.monotonic() + _READY_S
        while True:
            line = self._agent.receive(timeout_s=max(0.0, end - time.monotonic()))
            with suppress(ValueError, TypeError, KeyError):
                return str(safe_json.loads(line)["folder"])

    def push(self, file: Path, *companions: Path) -> str:
        place = self._places.setdefault(file.resolve(), str(len(self._places) + 1))
        for other in companions:
            self._put(other, f"{place}/{other.name}")
        return self._put(file, f"{place}/{file.name}")

    def path(self, name: str) -> str:
        return f"{self._folder}/{name}"

    def pull(self, path: str, file: Path) -> None:
        self._ask(do="get", name=path)
        with files.replacing(file) as temporary, open(temporary, "wb") as into:
            while (part := self._answer(_ANSWER_S, of=path)["part"]) is not None:
                into.write(base64.b64decode(part))

    def run(self, arguments: Sequence[str], *, timeout_s: float) -> str:
        script = Path(arguments[0]).name
        try:
            result = subprocesses.run(self._session(arguments), timeout_s=timeout_s)
        except subprocess.TimeoutExpired as problem:
            raise DeviceError(f"{script} did not finish within {timeout_s:g} s") from problem
        except OSError as problem:
            raise cannot_start("ssh", problem) from problem
        words = last_words(result.stderr)
        if result.returncode == LOST:
            raise connection_lost(self._device.uri, words)
        if result.returncode != 0:
            raise DeviceError(f"{script} {how_it_ended(exit_code(result.returncode), words)}")
        return result.stdout.partition(self._start + "\n")[2]

    def converse(self, arguments: Sequence[str]) -> SshConversation:
        child = ChildProcess(self._session(arguments), new_session=True)
        conversation = SshConversation(child, self._device.uri, after=self._start)
        self._conversations.append(conversation)
        return conversation

    def close(self) -> None:
        """Let the agent end the programs and remove the folder, and end the ssh clients on this machine."""
        if self._agent is not None:
            self._agent.close()
        for conversation in self._conversations:
            conversation.close()

    def _session(self, arguments: Sequence[str]) -> list[str]:
        # ssh that finds no connection would make one of its own; the proxy makes it fail instead.
        argv = self._device.client("ControlMaster=no", f"ControlPath={self._socket}", "ProxyCommand=false")
        run = f"{_words(self._device.python)} {shlex.join(arguments)}"
        run = f"echo {shlex.quote(self._start)}; {run}; exit $?"  # its exit code names a signal, that of ssh does not
        folder = shlex.quote(self._folder)
        return [*argv, f"exec env {MARK}={folder} TMPDIR={folder} sh -c {shlex.quote(run)}"]

    @property
    def _start(self) -> str:
        """Return the line that separates output of the login shell from that of a program."""
        return f"{MARK}={self._folder}"

    def _put(self, file: Path, name: str) -> str:
        expected = files.sha256(file)
        digest, path = self._there.get(name, ("", ""))
        if digest == expected:
            return path
        with open(file, "rb") as content:
            part, following, first = content.read(_PART_BYTES), content.read(_PART_BYTES), True
            while True:
                encoded = base64.b64encode(part).decode("ascii")
                self._ask(do="put", name=name, part=encoded, first=first, last=not following)
                actual = self._answer(_ANSWER_S, of=file.name)
                if not following:
                    break
                part, following, first = following, content.read(_PART_BYTES), False
        if actual["sha256"] != expected:
            raise DeviceError(
                f"{file.name} was damaged during the transfer to {self._device.uri}: expected SHA-256 {expected}, "
                f"got {actual['sha256']!s:.80}"
            )
        self._there[name] = (expected, str(actual["path"]))
        return str(actual["path"])

    def _ask(self, **command: Any) -> None:
        assert self._agent is not None
        self._agent.send(json.dumps(command))

    def _answer(self, timeout_s: float, *, of: str = "") -> dict[str, Any]:
        assert self._agent is not None
        line = self._agent.receive(timeout_s=timeout_s)
        try:
            answer = safe_json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise DeviceError(f"{self._device.uri}: expected a JSON object as the answer, got {line[:200]!r}")
        if "error" in answer:
            raise DeviceError(f"{self._device.uri}: {of}: {answer['error']}")
        return answer

    def _unreachable(self, words: str) -> DeviceError:
        """Return the error for a failed connection, with what to do."""
        advice = ""
        if "has changed" in words:
            advice = (
                "; its host key differs from the one in known_hosts: make sure that it is the same device before you "
            )
            advice += "remove the old key from known_hosts"
        elif "ost key verification failed" in words:
            advice = "; its host key is unknown: connect once with ssh, compare the key, and accept it"
        elif "Permission denied" in words:
            advice = "; EdgePrune does not ask for passwords: install a key on the device with ssh-copy-id"
        return DeviceError(f"cannot reach {self._device.uri}: {words or 'ssh ended without a message'}{advice}")


def _words(command: str) -> str:
    return shlex.join(shlex.split(command))
