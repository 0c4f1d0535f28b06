"""Devices by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeprune.devices import Emulator, Local, device
from edgeprune.errors import DeviceError, InputError


def test_local_uri_is_this_machine() -> None:
    assert device("local:") == Local()


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        (
            "",
            r"''.* emulator:, local:, serial:, ssh:,.*devices\.toml",
        ),
        ("local", "'local'"),
        ("telnet://board", "'telnet://board'"),
        ("local:here", "'local:here'.*'local:'"),
        ("emulator:", "''.*raspberry-pi-4, microcontroller"),
        ("emulator:../x", r"'\.\./x'.*raspberry-pi-4"),
    ],
)
def test_invalid_uri_is_refused(uri: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        device(uri)


def test_missing_emulator_is_an_error_with_the_install_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DeviceError, match="'edgeprune emulator install raspberry-pi-4'") as raised:
        device("emulator:raspberry-pi-4")
    assert raised.value.exit_code == 5
    with pytest.raises(DeviceError, match="emulator install raspberry-pi-4"), Emulator("raspberry-pi-4").open():
        pass
