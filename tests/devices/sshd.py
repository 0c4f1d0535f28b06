"""A real ssh server on loopback: own host key, own user key, own port, own temporary folder for what it runs."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

SERVER = shutil.which("sshd") or "/usr/sbin/sshd"
_START_S = 120


@dataclass
class Server:
    """A server, and what a client of it needs.

    Attributes:
        folder: All its files.
        port: On 127.0.0.1.
        tmp: ``TMPDIR`` of what it runs.
        file_bytes: That a file may have which it or what it runs writes; None: any.
    """

    folder: Path
    port: int
    tmp: Path
    file_bytes: int | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def config(self) -> Path:
        """Of the client."""
        return self.folder / "client"

    def uri(self, **options: str) -> str:
        """The device; Python is that of the tests unless given."""
        values = {"python": sys.executable, "ssh_config": str(self.config), **options}
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}?{urlencode(values)}"

    def left(self) -> list[Path]:
        """What is left in its temporary folder."""
        return sorted(self.tmp.glob("edgeprune-*"))

    def programs(self) -> list[int]:
        """Programs that it runs, or ran before it was killed."""
        mark = f"TMPDIR={self.tmp}".encode()
        results = []
        for environ in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if any(value.startswith(mark) for value in environ.read_bytes().split(b"\0")):
                    results.append(int(environ.parent.name))
        return results

    def is_clean(self, *, within_s: float = 120) -> bool:
        """Whether no program runs and no folder is left, now or soon."""
        end = time.monotonic() + within_s
        while self.programs() or self.left():
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    def start(self) -> None:
        argv = [SERVER, "-D", "-e", "-f", str(self.folder / "server")]
        if self.file_bytes is not None:
            argv = ["sh", "-c", f'ulimit -f {self.file_bytes // 512}; exec "$@"', "sh", *argv]
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(argv, stderr=log, start_new_session=True)
        end = time.monotonic() + _START_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < end, "sshd does not listen"
            time.sleep(0.02)

    def kill(self, *, listener: bool = True) -> None:
        """Kill the processes of its connections, and that which listens, as a device does that loses power."""
        assert self._process is not None
        victims = _descendants(self._process.pid, b"sshd")
        if listener:
            self._process.kill()
            self._process.wait()
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()


@contextmanager
def server(folder: Path, *, tmp: Path | None = None, file_bytes: int | None = None) -> Iterator[Server]:
    """A server that is stopped at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd of Debian puts its processes that need no rights
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    tmp = tmp or folder / "tmp"
    tmp.mkdir(exist_ok=True)
    (folder / "client").write_text(
        f"Host *\nIdentityFile {folder}/user\nIdentitiesOnly yes\nIdentityAgent none\n"
        f"UserKnownHostsFile {folder}/known\n"
    )
    result = _started(folder, tmp, file_bytes)
    try:
        yield result
    finally:
        result.stop()


def _started(folder: Path, tmp: Path, file_bytes: int | None) -> Server:
    """On a free port, or the next one where another program was faster to take it."""
    for _ in range(5):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            result = Server(folder, probe.getsockname()[1], tmp, file_bytes)
        _configure(result)
        try:
            result.start()
        except AssertionError as problem:
            if "Address already in use" not in str(problem):
                raise
        else:
            return result
    raise AssertionError("no port is free")


def _configure(result: Server) -> None:
    folder = result.folder
    (folder / "server").write_text(
        f"ListenAddress 127.0.0.1\nPort {result.port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        "PermitRootLogin prohibit-password\nPidFile none\n"
        # An empty home: start-up files of the developer's shell may wait for locks of other shells.
        f"SetEnv HOME={folder} TMPDIR={result.tmp} BASH_ENV={folder}/greeting\n"
    )
    key = (folder / "host.pub").read_text().split()[:2]
    (folder / "known").write_text(f"[127.0.0.1]:{result.port} {' '.join(key)}\n")


def argv(pid: int) -> bytes:
    """The arguments of a program, each with a zero byte behind; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _descendants(pid: int, name: bytes) -> list[int]:
    results = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            content = stat.read_bytes()
            own, parent = int(stat.parent.name), int(content.rpartition(b")")[2].split()[1])
            if parent == pid and name in content.partition(b"(")[2]:
                results += [own, *_descendants(own, name)]
    return results
