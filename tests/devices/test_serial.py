"""Boards on a serial port: real pseudo-terminals, the real TFLite Micro behind them, and everything that goes wrong."""

from __future__ import annotations

import errno
import os
import select
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import serial

import edgeprune as ep
from edgeprune.backends.litert.litert_session import LiteRTSession
from edgeprune.cli import run
from edgeprune.devices import device
from edgeprune.devices.base import ConnectionLostError
from edgeprune.devices.board import board_protocol
from edgeprune.devices.board.board_runner import BoardConversation
from edgeprune.devices.board.serial_link import CommandError, SerialLink
from edgeprune.devices.emulation.firmware_emulator import Board
from edgeprune.devices.serial import SerialBoard
from edgeprune.errors import DeviceError, InputError
from edgeprune.files import sha256
from edgeprune.profile.golden_samples import Golden
from edgeprune.profile.interleaved_bench import measure
from edgeprune.profile.profile_result import Profile

_QUICK = {"runs": 3, "blocks": 2, "block_s": 0, "warmup": 1}
Write = Callable[[bytes], None]
Say = Callable[[Write, str, Iterator[str]], None]


def say(write: Write, command: str, lines: Iterator[str]) -> None:
    """As a board does."""
    for line in lines:
        write((line + "\r\n").encode())


class Clock:
    """Microseconds that pass as they are asked for."""

    def __init__(self) -> None:
        self.now = board_protocol.CLOCK_WRAPS_US - 5000  # it wraps around soon

    def __call__(self) -> int:
        self.now += 1500
        return self.now


@contextmanager
def board(model: Path | None, answer: Say = say, *, boot: bytes = b"m-init-done\r\nm-ready\r\n") -> Iterator[str]:
    """The firmware's own code on a pseudo-terminal, with ``answer`` to spoil what it says; gives the port."""
    firmware = Board(Clock())
    if model is not None:
        firmware.flash(model)
    terminal, other = os.openpty()
    tty.setraw(other, termios.TCSANOW)
    ended, wake = os.pipe()

    def write(content: bytes) -> None:
        while content:
            content = content[os.write(terminal, content) :]

    def serve() -> None:
        write(boot)
        command = ""
        while True:
            ready, _, _ = select.select([terminal, ended], [], [])
            if ended in ready:
                return
            for byte in os.read(terminal, 4096).decode("latin-1"):
                if byte == "%":
                    answer(write, command, firmware.answer(command))
                    command = ""
                else:
                    command += byte

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield os.ttyname(other)
    finally:
        os.write(wake, b"x")
        thread.join()
        for descriptor in (terminal, other, ended, wake):
            os.close(descriptor)


@pytest.fixture(scope="module")
def model(shared_data: Path) -> Path:
    return shared_data / "models" / "mlperf_tiny_ad01_int8.tflite"


@pytest.mark.long
@pytest.mark.parametrize("name", ["ic", "ad01"])
def test_the_models_of_mlperf_tiny_on_the_emulated_board(
    shared_data: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shared_data / "models" / f"mlperf_tiny_{name}_int8.tflite"
    result = ep.profile(path, "emulator:microcontroller", **_QUICK, noise=0.0)
    assert result.validity is not None
    assert (result.validity.valid, result.validity.noise_limit) == (True, None)  # time that says nothing may be noisy
    (measured,) = result.models.values()
    assert measured.latency_ms.kind == "emulated"
    assert measured.arena_bytes is not None
    assert measured.arena_bytes.kind == "emulated"
    assert 2_000 < measured.arena_bytes.value < 60_000
    assert (measured.peak_memory_bytes, measured.load_ms, result.environment) == (None, None, None)
    assert measured.layers is not None
    kinds = [layer.kind for layer in measured.layers]
    assert kinds.count("FULLY_CONNECTED") == {"ic": 1, "ad01": 10}[name]
    assert kinds.count("CONV_2D") == {"ic": 9, "ad01": 0}[name]
    assert result.device["runtime"] == "tflm"


@pytest.mark.long
def test_outputs_over_the_line_are_those_of_the_model(shared_data: Path) -> None:
    path = shared_data / "models" / "mlperf_tiny_ic_int8.tflite"
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32)).astype(np.float32)
    (expected,) = LiteRTSession(path, kernels="reference").predict([images])
    golden = {"ic": Golden(images, (expected,), tolerance=0.05)}
    result = measure({"ic": path}, device("emulator:microcontroller"), golden=golden, **_QUICK)
    assert result.validity is not None
    assert result.validity.valid
    assert result.validity.golden["ic"].top1_agreement == 1


def test_every_command_of_the_protocol_is_answered(model: Path) -> None:
    with board(model) as port:
        link = SerialLink(port)
        link.synchronise()
        ask = lambda *words: link.ask(board_protocol.command(*words), timeout_s=300)
        assert ask("name") == ["m-name-dut-[EdgePrune]"]
        assert ask("profile")[1] == f"m-model-[{board_protocol.model_id(model.stem, sha256(model))}]"
        (lap,) = ask("timestamp")
        assert board_protocol.lap_us(lap) is not None
        assert ask("db", "load", 640) == ["m-[Expecting 640 bytes]"]
        replies = [
            link.ask(command, timeout_s=300)
            for command in board_protocol.input_commands(bytes(range(256)) + bytes(384))
        ]
        assert replies[:-1] == [[]] * (len(replies) - 1)
        assert replies[-1] == ["m-load-done"]
        output = ask("infer", 2, 1)
        assert [line.partition("-[")[0] for line in output if "lap" not in line] == [
            "m-warmup-start-1",
            "m-warmup-done",
            "m-infer-start-2",
            "m-infer-done",
            "m-results",
        ]
        assert ask("results") == output[-1:]
        assert len(board_protocol.results(board_protocol.bracketed(output[-1], "results") or "")) == 640
        for wrong, reason in {
            ("db", "load", 3): "640",
            ("db", "00"): "db load",
            ("infer", 0): "must be >0",
            ("nonsense",): r"command: nonsense",
            ("db", "load", 640): "",
        }.items():
            if reason:
                with pytest.raises(CommandError, match=reason):
                    ask(*wrong)
        assert ask("name")
        link.close()


def profiled(port: str, model: Path) -> ep.profile:
    return ep.profile(model, f"serial:{port}", **_QUICK, noise=100.0)


@pytest.mark.long
def test_only_boards_that_load_models_are_measured_interleaved(
    model: Path, shared_data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = shared_data / "models" / "mlperf_tiny_ic_int8.tflite"
    result = ep.profile(model, "emulator:microcontroller", baseline=other, **_QUICK)
    assert [one.sha256 for one in result.models.values()] == [sha256(other), sha256(model)]
    assert not caplog.records
    with board(model) as port:
        result = ep.profile(model, f"serial:{port}", baseline=other, **_QUICK, noise=100.0)
    assert [one.sha256 for one in result.models.values()] == [sha256(model)]
    (warning,) = caplog.messages
    assert f"serial:{port}?baud=115200" in warning
    assert "so dense is not measured" in warning


@pytest.mark.long
def test_a_board_is_profiled(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with board(model) as port:
        result = profiled(port, model)
        assert result.device["uri"] == f"serial:{port}?baud=115200"
        (measured,) = result.models.values()
        assert measured.latency_ms.kind == "measured"
        assert measured.latency_ms.p50 == pytest.approx(1.5)  # of its clock, which wrapped around meanwhile
        assert run(["profile", str(model), "--device", f"serial:{port}", "--runs", "2", "--blocks", "1"]) == 0
        printed = capsys.readouterr().out
        assert "tensor arena" in printed
        assert "peak memory" not in printed


def in_bytes(write: Write, command: str, lines: Iterator[str]) -> None:
    for line in lines:
        for byte in f"{line}\r\n".encode():
            write(bytes([byte]))


def at_once(write: Write, command: str, lines: Iterator[str]) -> None:
    write("".join(f"{line}\r\n" for line in lines).encode())


def noisy(write: Write, command: str, lines: Iterator[str]) -> None:
    for line in lines:
        write(b"\x00\xff[I] boot: 12 ms\n\xfe" + line.encode() + b"\r\n\r\n")


@pytest.mark.long
@pytest.mark.parametrize("answer", [in_bytes, at_once, noisy])
def test_split_and_interspersed_replies_are_parsed(model: Path, answer: Say) -> None:
    with board(model, answer, boot=b"\x00garbage without end m-re") as port:
        assert profiled(port, model).models[model.stem].arena_bytes is not None


def test_stale_bytes_on_the_line_are_ignored(model: Path) -> None:
    with board(model) as port:
        with serial.Serial(port) as before:
            before.write(b"infer 3 1%db load 64")
        assert profiled(port, model)


def without_additions(write: Write, command: str, lines: Iterator[str]) -> None:
    """MLPerf Tiny's own firmware."""
    if command in ("arena", "layers"):
        lines = iter([f"e-[Unknown command: {command}]", "m-ready"])
    say(write, command, iter(line if not line.startswith("m-model") else "m-model-[ad01]" for line in lines))


def test_values_missing_in_the_firmware_are_omitted(model: Path) -> None:
    with board(model, without_additions) as port:
        golden = {"ad": Golden(np.zeros((1, 640), np.float32), (np.ones((1, 640), np.float32),), 1e-3)}
        result = measure({"ad": model}, SerialBoard(port), golden=golden, **_QUICK)
        assert (result.models["ad"].arena_bytes, result.models["ad"].layers) == (None, None)
        assert result.validity is not None
        assert result.validity.golden == {}  # how it takes its input is not known


def without_layer_times(write: Write, command: str, lines: Iterator[str]) -> None:
    """Firmware that was built without TensorFlow Lite Micro's profiler."""
    say(write, command, iter("m-layers-[]" if line.startswith("m-layers") else line for line in lines))


@pytest.mark.long
def test_an_empty_list_of_layers_keeps_the_measurement(model: Path, tmp_path: Path) -> None:
    output = tmp_path / "board.json"
    with board(model, without_layer_times) as port:
        device = f"serial:{port}"
        assert (
            run(["profile", str(model), "--device", device, "--runs", "2", "--blocks", "1", "--output", str(output)])
            == 0
        )
    (measured,) = Profile.from_json(output.read_text()).models.values()
    assert measured.layers is None
    assert measured.arena_bytes is not None
    assert measured.latency_ms.p50 == pytest.approx(1.5)


def emulated(write: Write, command: str, lines: Iterator[str]) -> None:
    """Firmware that was built for an emulator."""
    messages = (
        ("m-board-[emulated]", line) if command == "profile" and line == board_protocol.READY else (line,)
        for line in lines
    )
    say(write, command, (line for part in messages for line in part))


def kinds(profile: Profile) -> set[str]:
    (measured,) = profile.models.values()
    assert measured.arena_bytes is not None
    return {measured.latency_ms.kind, measured.first_ms.kind, measured.arena_bytes.kind}


@pytest.mark.long
def test_figures_of_an_emulator_on_a_serial_port_are_emulated(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with board(model) as port:
        Path("devices.toml").write_text(f'[qemu]\nuri = "serial:{port}"\nemulated = true\n')
        assert kinds(ep.profile(model, "qemu", **_QUICK)) == {"emulated"}
        result = ep.profile(model, f"serial:{port}?emulated=1", **_QUICK)
        assert kinds(result) == {"emulated"}
        assert result.device["uri"] == f"serial:{port}?baud=115200&emulated=1"
        assert kinds(ep.profile(model, f"serial:{port}?emulated=0", **_QUICK, noise=100.0)) == {"measured"}
    with board(model, emulated) as port:  # it says so itself
        assert kinds(ep.profile(model, f"serial:{port}", **_QUICK)) == {"emulated"}


def test_a_board_with_another_model_is_not_measured(model: Path, shared_data: Path) -> None:
    other = shared_data / "models" / "mlperf_tiny_ic_int8.tflite"
    with board(other) as port, pytest.raises(DeviceError, match=rf"{model.name}.*{other.stem}"):
        profiled(port, model)


def test_board_without_a_model_is_an_error(model: Path) -> None:
    with board(None) as port, pytest.raises(DeviceError, match=r"'there is no model'.*'db load 640%'"):
        profiled(port, model)


class Resetting:
    """Is reset ``times`` times in the middle of inferences."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self, write: Write, command: str, lines: Iterator[str]) -> None:
        if command.startswith("infer") and self.left:
            self.left -= 1
            write(b"m-warmup-start-0\r\nm-warmup-done\r\nm-infer-start-1\r\nm-lap-us-70m-init-done\r\nm-ready\r\n")
        else:
            say(write, command, lines)


@pytest.mark.long
def test_board_that_was_reset_is_measured_again(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeprune.profile.profile_devices._RETRY_DELAY_S", 0)
    with board(model, Resetting(2)) as port:
        result = profiled(port, model)
        assert result.models[model.stem].latency_ms.p50 == pytest.approx(1.5)
    with (
        board(model, Resetting(10**9)) as port,
        pytest.raises(DeviceError, match=r"reset.*'infer") as raised,
    ):
        profiled(port, model)
    assert raised.value.exit_code == 5


def nonsense(start: str, text: str) -> Say:
    def answer(write: Write, command: str, lines: Iterator[str]) -> None:
        say(write, command, iter([text, "m-ready"]) if command.startswith(start) else lines)

    return answer


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (nonsense("infer", "m-lap-us-1"), r"infer: .*'m-lap-us-1'"),
        (nonsense("db", "m-ready"), r"input: \[\]"),
        (nonsense("arena", "m-arena-[many]"), "arena: 'many'"),
        (nonsense("layers", "m-layers-[CONV]"), "layers: 'CONV'"),
        (nonsense("infer", "e-[out of memory]"), "'out of memory'.*'infer"),
    ],
)
def test_unexpected_answer_is_an_error(model: Path, answer: Say, reason: str) -> None:
    with board(model, answer) as port, pytest.raises(DeviceError, match=reason):
        profiled(port, model)


def dies(start: str) -> Say:
    def answer(write: Write, command: str, lines: Iterator[str]) -> None:
        if not command.startswith(start):
            say(write, command, lines)

    return answer


@pytest.mark.long
def test_silent_board_is_an_error_with_its_last_output(model: Path) -> None:
    silent = pytest.raises(DeviceError, match=r"'infer 1 0%'.* 5 s.*m-load-done")
    with board(model, dies("infer")) as port, silent:
        ep.profile(model, f"serial:{port}", **_QUICK, timeout_s=5.0)


def test_silent_port_is_an_error() -> None:
    terminal, other = os.openpty()
    link = SerialLink(os.ttyname(other))
    with pytest.raises(DeviceError, match=r"\b0\.5 s.*baud"):
        link.synchronise(timeout_s=0.5)
    link.close()
    os.close(other)
    os.close(terminal)


def test_busy_port_is_an_error(model: Path) -> None:
    with board(model) as port, serial.Serial(port, exclusive=True):
        with pytest.raises(DeviceError, match=f"{port}.*{os.strerror(errno.EAGAIN)}") as raised:
            profiled(port, model)
        assert raised.value.exit_code == 5


def test_unplugged_board_is_an_error(model: Path) -> None:
    terminal, other = os.openpty()
    tty.setraw(other, termios.TCSANOW)
    link = SerialLink(os.ttyname(other))
    os.close(other)
    os.close(terminal)
    with pytest.raises(ConnectionLostError, match=r"/dev/pts/\d+"):
        link.ask(board_protocol.command("name"), timeout_s=5)
    link.close()


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("serial:", "'serial:'.*serial:/dev/ttyACM0"),
        ("serial:/dev/ttyACM0?baud=fast", "baud.*'fast'"),
        ("serial:/dev/ttyACM0?baud=0", "baud.*'0'"),
        ("serial:/dev/ttyACM0?bauds=9600", "'bauds=9600'.*baud, emulated"),
        ("serial:/dev/ttyACM0?emulated=yes", "emulated.*'yes'"),
    ],
)
def test_uri_without_a_port_is_refused(uri: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        device(uri)


def test_missing_port_is_an_error(model: Path) -> None:
    assert device("serial:/dev/ttyACM7?baud=9600") == SerialBoard("/dev/ttyACM7", 9600)
    with pytest.raises(DeviceError, match=f"/dev/none: {os.strerror(errno.ENOENT)}"):
        profiled("/dev/none", model)


@pytest.mark.long
def test_file_other_than_tflite_is_refused(tmp_path: Path) -> None:
    for name, content in (("x.onnx", b""), ("x.tflite", b"no model")):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"x\.onnx.*\.tflite"):
        measure({"x": tmp_path / "x.onnx"}, device("emulator:microcontroller"))
    with pytest.raises(DeviceError, match=r"x\.tflite.*TFLite"):
        measure({"x": tmp_path / "x.tflite"}, device("emulator:microcontroller"))


def test_closed_conversation_leaves_no_process(model: Path) -> None:
    with device("emulator:microcontroller").open() as workspace:
        talk = workspace.converse([])
        assert isinstance(talk, BoardConversation)
        pid = talk._child._process.pid
        talk.receive(timeout_s=60)
        with pytest.raises(DeviceError, match="firmware"):
            workspace.run(["x.py"], timeout_s=1)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
