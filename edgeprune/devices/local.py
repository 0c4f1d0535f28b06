"""This machine as a device."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgeprune import subprocesses
from edgeprune.devices.base import Capability, Kind, Workspace, transport
from edgeprune.devices.local_workspace import LocalFiles, opened
from edgeprune.devices.subprocess_channel import ChildProcess, cannot_start, how_it_ended, last_words
from edgeprune.errors import DeviceError, InputError


@dataclass(frozen=True)
class Local:
    """This machine, with the Python that runs EdgePrune."""

    uri: str = "local:"
    kind: Kind = "measured"
    capabilities: frozenset[Capability] = frozenset(Capability)

    @contextmanager
    def open(self) -> Iterator[Workspace]:
        """Yield a workspace; at the end, terminate its programs and wait for them."""
        # -B: what it imports lies in the bundle, where nothing may be that its manifest does not name.
        with local_workspace([sys.executable, "-B"]) as workspace:
            yield workspace


@transport("local")
def _local(location: str) -> Local:
    if location:
        raise InputError(f"device: got 'local:{location}', must be 'local:' for this machine")
    return Local()


@contextmanager
def local_workspace(python: Sequence[str], env: Mapping[str, str] | None = None) -> Iterator[Workspace]:
    """Yield a workspace whose folder and processes are on this machine.

    Args:
        python: Arguments that start the Python for scripts.
        env: Environment of the processes. None: that of this process.
    """
    with opened(lambda folder: _LocalWorkspace(python, env, folder)) as workspace:
        yield workspace


class _LocalWorkspace(LocalFiles):
    def __init__(self, python: Sequence[str], env: Mapping[str, str] | None, folder: Path) -> None:
        super().__init__(folder)
        self._python = python
        self._env = env

    def run(self, arguments: Sequence[str], *, timeout_s: float) -> str:
        script = Path(arguments[0]).name
        try:
            result = subprocesses.run([*self._python, *arguments], timeout_s=timeout_s, env=self._env)
        except subprocess.TimeoutExpired as problem:
            raise DeviceError(f"{script} did not finish within {timeout_s:g} s") from problem
        except OSError as problem:
            raise cannot_start(self._python[0], problem) from problem
        if result.returncode != 0:
            raise DeviceError(f"{script} {how_it_ended(result.returncode, last_words(result.stderr))}")
        return result.stdout

    def converse(self, arguments: Sequence[str]) -> ChildProcess:
        conversation = ChildProcess([*self._python, *arguments], self._env)
        self._conversations.append(conversation)
        return conversation
