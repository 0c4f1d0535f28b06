from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgeprune.config import Target
from edgeprune.errors import TargetError


def test_packaged_targets_load_by_name_and_alias(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Target.names():
        target = Target.load(name)
        assert target.name == name
        for alias in target.aliases:
            assert Target.load(alias) == target


def test_no_two_targets_share_a_name() -> None:
    labels = [label for name in Target.names() for label in (name, *Target.load(name).aliases)]
    assert len(labels) == len(set(labels))


def test_a_target_file_may_lie_anywhere(tmp_path: Path) -> None:
    file = tmp_path / "board.toml"
    file.write_text("name = 'board'\nruntime.threads = 2\n")
    assert Target.load(file).runtime.threads == 2


def test_an_unknown_target_lists_the_known_ones() -> None:
    with pytest.raises(TargetError, match=r"'rasberry-pi'.*'raspberry-pi'"):
        Target.load("rasberry-pi")


def test_an_unknown_key_names_the_file_and_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "board.toml"
    file.write_text("name = 'board'\n[runtime]\nthread = 2\n")
    with pytest.raises(TargetError, match=rf"'runtime\.thread'.*{re.escape(str(file))}.*'runtime\.threads'"):
        Target.load(file)


_BOARDS = [target for target in map(Target.load, Target.names()) if target.microcontroller is not None]
_CYCLES = {"typical": 2.0, "low": 1.0, "high": 3.0, "source": "a test"}
_BOARD = {
    "name": "board",
    "hardware": {"clock_mhz": 100, "memory_bytes": 1000, "flash_bytes": 5000},
    "runtime": {"name": "tflm", "precisions": ["int8"]},
    "microcontroller": {
        "ram_bytes": 900,
        "reserved_ram_bytes": 100,
        "reserved_flash_bytes": 1000,
        "kernels": "cmsis_nn",
        "cycles_per_mac": _CYCLES,
    },
}


def test_every_packaged_board_is_listed() -> None:
    assert [board.name for board in _BOARDS] == [
        "alif-ensemble-e7", "arduino-nano-33-ble", "corstone-300", "corstone-300-u55-128", "corstone-300-u65-256",
        "esp32-s3", "nucleo-l4r5zi", "rp2040-pico", "rp2350-pico2", "stm32f746-disco", "stm32h747-disco",
    ]  # fmt: skip
    assert Target.load("mcu") == Target.load("microcontroller") == Target.load("nucleo-l4r5zi")


@pytest.mark.parametrize("board", _BOARDS, ids=lambda board: board.name)
def test_a_board_has_all_its_facts_and_their_sources(board: Target) -> None:
    hardware, own = board.hardware, board.microcontroller
    assert own is not None
    assert board.sources
    assert hardware.cpu
    assert hardware.architecture
    assert hardware.clock_mhz is not None
    assert hardware.flash_bytes is not None
    assert hardware.memory_bytes is not None
    assert 0 < own.arena_bytes < own.ram_bytes <= hardware.memory_bytes
    assert 0 < board.limits["flash_bytes"] < hardware.flash_bytes
    assert board.runtime.precisions == ("int8",)
    assert own.cycles_per_mac.source


def test_onnx_limits_of_a_target_are_read() -> None:
    board = Target.parse(_BOARD, where="a test")
    assert board.limits == {"arena_bytes": 800, "flash_bytes": 4000}
    assert board.ms_per_mac == 2e-5
    assert Target.load("raspberry-pi-4").limits == {}
    assert Target.load("raspberry-pi-4").ms_per_mac is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"hardware": {"clock_mhz": 100}}, r"a test.*hardware\.clock_mhz.*hardware\.flash_bytes.*microcontroller"),
        (
            {"microcontroller": {**_BOARD["microcontroller"], "cycles_per_mac": {**_CYCLES, "low": 2.5}}},  # type: ignore[dict-item]
            r"'microcontroller' in a test.*'low': 2\.5.*low <= typical <= high",
        ),
    ],
)
def test_half_a_board_is_refused(changed: dict[str, object], message: str) -> None:
    with pytest.raises(TargetError, match=message):
        Target.parse({**_BOARD, **changed}, where="a test")
