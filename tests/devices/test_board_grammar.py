"""The serial protocol, on lines that MLPerf Tiny's boards print."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprune.devices.board import board_protocol

_SAID = (
    b"m-init-done\r\nm-ready\r\nm-name-dut-[X]\r\nm-profile-[ULPMark for tinyML Firmware V0.0.1]\r\nm-model-[ic01]\r\n"
    b"m-ready\r\nm-[Expecting 3072 bytes]\r\nm-load-done\r\nm-warmup-start-1\r\nm-warmup-done\r\nm-infer-start-100\r\n"
    b"m-lap-us-7060743\r\nm-lap-us-23572423\r\nm-infer-done\r\nm-results-[0.000,0.996,0.004]\r\nm-ready\r\n"
    b"e-[Unknown command: x]\r\nm-ready\r\n"
)


@given(st.lists(st.integers(0, len(_SAID)), max_size=20))
def test_lines_do_not_depend_on_how_reads_cut_them(cuts: list[int]) -> None:
    lines = board_protocol.LineBuffer()
    places = [0, *sorted(cuts), len(_SAID)]
    results = [line for first, last in itertools.pairwise(places) for line in lines.feed(_SAID[first:last])]
    assert results == _SAID.decode().split("\r\n")[:-1]
    assert [board_protocol.reply(line) for line in results] == results


def test_replies_are_parsed() -> None:
    assert board_protocol.bracketed("m-name-dut-[X]", "name-dut") == "X"
    assert board_protocol.bracketed("m-model-[ic01", "model") is None
    assert board_protocol.bracketed("m-model-[a[1]]", "model") == "a[1]"
    assert board_protocol.lap_us("m-lap-us-7060743") == 7060743
    assert board_protocol.lap_us("m-lap-us-70x") is None
    assert board_protocol.lap_us("m-ready") is None
    assert board_protocol.elapsed_us(7060743, 23572423) == 16511680
    assert board_protocol.elapsed_us(board_protocol.CLOCK_WRAPS_US - 10, 5) == 15
    assert board_protocol.error("e-[Unknown command: x]") == "Unknown command: x"
    assert board_protocol.error("m-ready") is None
    assert board_protocol.results("0.000,0.996,-0.5") == [0.0, 0.996, -0.5]
    assert board_protocol.layers("CONV_2D:1234,ADD:5") == [("CONV_2D", 1234), ("ADD", 5)]
    assert board_protocol.layers("") == []
    for text in ("CONV_2D", "CONV_2D:", ","):
        with pytest.raises(ValueError, match="invalid literal"):
            board_protocol.layers(text)


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("\x00\ufffdm-ready", "m-ready"),
        ("m-lap-us-70m-init-done", "m-init-done"),
        ("m-results-[0.1,0.m-ready", "m-ready"),
        ("m-model-[arm-ready]", "m-model-[arm-ready]"),
        ("m-[Expecting 3072 bytes]", "m-[Expecting 3072 bytes]"),
        ("m-results-[0.1,0.", None),
        ("0.1]", None),
        ("boot: 12 ms", None),
        ("", None),
    ],
)
def test_partial_reply_is_not_parsed(line: str, reply: str | None) -> None:
    assert board_protocol.reply(line) == reply


def test_a_line_without_end_does_not_grow_for_ever() -> None:
    lines = board_protocol.LineBuffer()
    for _ in range(100):
        assert lines.feed(b"x" * 10_000) == []
    (line,) = lines.feed(b"\r\n")
    assert len(line) <= 1 << 16


@pytest.mark.long
@given(st.binary(max_size=200))
def test_input_is_split_into_commands_of_the_board_limit(content: bytes) -> None:
    commands = [sent.decode() for sent in board_protocol.input_commands(content)]
    assert all(sent.startswith("db ") and sent.endswith("%") and len(sent) <= 80 for sent in commands)
    assert bytes.fromhex("".join(sent[3:-1] for sent in commands)) == content


def test_board_with_another_model_is_named() -> None:
    sha256 = "0123456789abcdef" * 4
    assert board_protocol.model_id("digits", sha256) == "digits-0123456789ab"
    assert board_protocol.is_other_model("digits-0123456789ab", sha256) is False
    assert board_protocol.is_other_model("digits-ffffffffffff", sha256) is True
    assert board_protocol.is_other_model("ic01", sha256) is None
