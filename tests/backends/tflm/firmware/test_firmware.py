"""The firmware folder: it compiles for a Cortex-M without a warning, and main.cc speaks the protocol."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from edgeprune.backends.tflm.firmware import firmware_files
from edgeprune.backends.tflm.interpreter import Interpreter
from edgeprune.backends.tflm.tflm_footprint import footprint
from edgeprune.devices.board import board_protocol
from tests.backends.tflm.firmware.conftest import NAME

_HERE = Path(__file__).parent
_STRICT = ("-Wall", "-Wextra", "-Werror", "-fno-exceptions", "-fno-rtti", "-std=c++17")
_CROSS = shutil.which("arm-none-eabi-g++")
_HOST = shutil.which("g++")


@pytest.mark.skipif(_CROSS is None, reason="arm-none-eabi-g++ is not installed")
@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m0plus", "cortex-m55"])
@pytest.mark.parametrize("file", ["main.cc", "golden.cc", "model_data.cc"])
def test_sources_without_headers_compile_without_warnings(file: str, core: str, folder: Path, tmp_path: Path) -> None:
    assert _CROSS is not None
    argv = [_CROSS, *_STRICT, f"-mcpu={core}", "-mthumb", "-Os", "-c", folder / file, "-o", tmp_path / "made.o"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(_CROSS is None, reason="arm-none-eabi-g++ is not installed")
def test_sources_with_headers_compile_against_the_declarations(folder: Path, tmp_path: Path) -> None:
    assert _CROSS is not None
    argv = [_CROSS, *_STRICT, "-mcpu=cortex-m4", "-mthumb", "-I", _HERE / "headers", "-c", folder / "model.cc"]
    done = subprocess.run([*argv, "-o", tmp_path / "model.o"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_array_is_the_file(folder: Path, model: Path) -> None:
    text = (folder / "model_data.cc").read_text()
    assert "alignas(16) const unsigned char" in text
    assert bytes(int(byte, 16) for byte in re.findall(r"0x([0-9a-f]{2}),", text)) == model.read_bytes()


def test_exactly_the_operators_of_the_file_are_registered(folder: Path, model: Path) -> None:
    text = (folder / "op_resolver.h").read_text()
    operators = footprint(model).operators
    assert f"MicroMutableOpResolver<{len(operators)}>" in text
    assert len(re.findall(r"->Add\w+\(\)", text)) == len(operators)
    assert "AddDepthwiseConv2D" in text


def test_the_arena_is_the_one_of_the_allocator(folder: Path, model: Path) -> None:
    (size,) = re.findall(r"kTensorArenaBytes = (\d+);", (folder / "arena_size.h").read_text())
    result = footprint(model)
    assert int(size) % 16 == 0
    assert 0 <= int(size) - result.arena_bytes < 16
    terms = [int(term) for term in re.findall(r"^// (\d+):", (folder / "arena_size.h").read_text(), re.MULTILINE)]
    assert sum(terms) == result.arena_bytes


def test_golden_vectors_equal_outputs_of_tflite_micro(model: Path, samples: np.ndarray) -> None:
    result = firmware_files.golden(model, samples)
    assert len(result.inputs) == len(samples)
    interpreter = Interpreter(model)
    (again,) = interpreter.run_stored([np.frombuffer(result.inputs[1], np.int8).reshape(interpreter.inputs[0].shape)])
    assert again.tobytes() == result.outputs[1] != result.outputs[0]


def test_the_readme_has_no_gaps(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    assert "OPTIMIZED_KERNEL_DIR=cmsis_nn" in text
    assert "-mcpu=cortex-m4" in text
    assert all(file.name in text for file in folder.iterdir() if file.name != "README.md")
    assert "$" not in re.sub(r"(?m)^ {4}.*$", "", text)


class _Line:
    """The serial line of main.cc as it runs on this machine."""

    def __init__(self, program: Path, **environment: str) -> None:
        self._process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, bufsize=0
        )

    def ready(self) -> list[str]:
        """Lines up to and without ``m-ready``."""
        assert self._process.stdout is not None
        lines = []
        for line in iter(self._process.stdout.readline, b""):
            assert line.endswith(b"\r\n"), line
            if line == b"m-ready\r\n":
                return lines
            lines.append(line.decode("ascii").strip())
            assert board_protocol.reply(lines[-1]) == lines[-1], "devices understand every line"
        raise AssertionError(f"it ended after {lines}")

    def send(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())

    def ask(self, command: str) -> list[str]:
        self.send(f"{command}%")
        return self.ready()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        assert self._process.wait(300) == 0


@pytest.fixture(scope="module")
def program(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if _HOST is None:
        pytest.skip("g++ is not installed")
    result = tmp_path_factory.mktemp("host") / "firmware"
    sources = [folder / "main.cc", folder / "golden.cc", _HERE / "stand_in.cc"]
    argv = [_HOST, *_STRICT, "-fsanitize=address,undefined", "-I", folder, *sources, "-o", result]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return result


@pytest.fixture
def line(program: Path) -> Iterator[_Line]:
    talking = _Line(program)
    assert talking.ready() == ["m-init-done"]
    yield talking
    talking.close()


def test_firmware_reports_its_name(line: _Line, model: Path) -> None:
    assert line.ask("name") == ["m-name-dut-[EdgePrune]"]
    digits = sha256(model.read_bytes()).hexdigest()[:12]
    lines = ["m-profile-[ULPMark for tinyML Firmware V0.0.1]", f"m-model-[{NAME}-{digits}]"]
    assert line.ask("profile") == lines
    assert line.ask("arena") == ["m-arena-[12345]"]
    (output,) = line.ask("layers")
    assert board_protocol.layers(board_protocol.bracketed(output, "layers") or "") == [("CONV_2D", 100), ("ADD", 7)]
    assert board_protocol.is_other_model(f"{NAME}-{digits}", sha256(model.read_bytes()).hexdigest()) is False


def test_an_input_is_loaded_and_inferred(line: _Line, model: Path) -> None:
    output = Interpreter(model).outputs[0]
    content = np.arange(-32, 32, dtype=np.int8)
    assert line.ask("db load 64") == ["m-[Expecting 64 bytes]"]
    text = content.tobytes().hex()
    assert line.ask(f"db {text[:62]}") == []
    assert line.ask(f"db {text[62:124].upper()}") == []
    assert line.ask(f"db {text[124:]}") == ["m-load-done"]
    replies = line.ask("infer 3 2")
    first, last = (lap for lap in map(board_protocol.lap_us, replies) if lap is not None)
    assert board_protocol.elapsed_us(first, last) == 100
    assert [one for one in replies if not one.startswith("m-lap")] == [
        "m-warmup-start-2", "m-warmup-done", "m-infer-start-3", "m-infer-done", replies[-1]
    ]  # fmt: skip
    numbers = board_protocol.results(board_protocol.bracketed(replies[-1], "results") or "")
    steps = content[: len(numbers)].astype(int)
    np.testing.assert_allclose(numbers, (steps - output.zero_point) * output.scale, atol=6e-4)
    assert line.ask("results") == replies[-1:]


def test_the_clock_wraps_around(line: _Line) -> None:
    laps = [int(line.ask("timestamp")[0].removeprefix("m-lap-us-")) for _ in range(4)]
    assert laps[-1] < laps[0]
    assert (laps[1] - laps[0]) % (1 << 32) == 100


def test_golden_vectors_are_compared(line: _Line) -> None:
    assert line.ask("golden") == ["m-[Golden: 0 of 4 the same]"]  # the stand-in is another model


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("nonsense", "e-[Unknown command: nonsense]"),
        ("", "e-[Unknown command: ]"),
        ("db 00", "e-[db load comes first]"),
        ("db load many", "e-[db load takes a number of bytes, got many]"),
        ("db load 65", "e-[the input has another size; profile% reports the name of the model]"),
        ("infer", "e-[infer expects a count of at least 1, and optionally a count of warm-up runs]"),
        ("infer 0 1", "e-[infer expects a count of at least 1, and optionally a count of warm-up runs]"),
        ("infer 5 x", "e-[infer expects a count of at least 1, and optionally a count of warm-up runs]"),
        ("x" * 200, "e-[the command is too long]"),
    ],
)
def test_impossible_command_is_answered_with_an_error(command: str, answer: str, line: _Line) -> None:
    assert line.ask(command) == [answer]
    assert line.ask("name") == ["m-name-dut-[EdgePrune]"]


def test_input_of_the_wrong_size_is_refused(line: _Line) -> None:
    line.ask("db load 64")
    assert line.ask("db 0") == ["e-[a byte needs two digits]"]
    assert line.ask("db zz") == ["e-[not hexadecimal digits: zz]"]
    for command in list(board_protocol.input_commands(bytes(62))):
        assert line.ask(command.decode().removesuffix("%")) == []
    assert line.ask("db " + "11" * 3) == ["e-[more bytes than the size given to db load]"]
    assert line.ask("db 1111") == ["m-load-done"]
    assert line.ask("db 11") == ["e-[db load comes first]"]


def test_reads_may_be_split_and_merged(line: _Line) -> None:
    line.send("na")
    line.send("me%\r\nresults%")
    assert line.ready() == ["m-name-dut-[EdgePrune]"]
    assert line.ready()[0].startswith("m-results-[")


def test_firmware_reports_a_model_that_does_not_load(program: Path) -> None:
    line = _Line(program, NO_MODEL="1")
    assert line.ready()[:1] == ["m-init-done"]
    assert line.ask("infer 1 0") == ["e-[there is no model]"]
    line.close()
