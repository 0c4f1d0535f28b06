"""Broken and hostile input on the command line: one sentence, the right exit code, and nothing lost."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgeprune.cli import run, system_failures


def _one_sentence(capsys: pytest.CaptureFixture[str]) -> str:
    output = capsys.readouterr()
    assert output.err.count("error: ") == 1
    assert "Traceback" not in output.err
    assert not [
        character for character in output.err + output.out if not (character.isprintable() or character in "\n\t")
    ]
    return output.err


@pytest.mark.parametrize("spec", ["builtins:exit", "builtins:quit", "builtins:print", "sys:exit"])
def test_a_model_that_ends_the_process_is_an_input_error(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", spec, "--input", "1,3,8,8"]) == 3
    _one_sentence(capsys)


@pytest.mark.parametrize("value", ["[" * 5000, "9" * 5000, "1" + "0" * 400])
def test_a_setting_beyond_the_limits_is_a_usage_error(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", "--set", f"training.lr={value}"]) == 2
    _one_sentence(capsys)


@pytest.mark.parametrize("shape", ["1,3,999999999,999999999", "1," + "9" * 5000, "999999999999999999999999", "1,0"])
def test_an_input_shape_beyond_the_limits_is_a_usage_error(shape: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", "torch.nn:Flatten", "--input", shape]) == 2
    _one_sentence(capsys)


@pytest.mark.parametrize("command", ["verify", "report", "profile", "lint"])
@pytest.mark.parametrize("name", ["missing\x1b]0;title\x07", "missing\udcff", "a" * 300])
def test_names_of_files_are_escaped(command: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, name]) in (1, 2, 3)
    _one_sentence(capsys)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("command", [["verify"], ["compare", "x.tar.gz"], ["report"], ["profile"], ["lint"]])
@pytest.mark.parametrize("name", ["pipe.tar.gz", "pipe.json", "pipe.onnx", "pipe.tflite"])
def test_a_named_pipe_is_refused(
    command: list[str], name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / name)
    assert run([*command, str(tmp_path / name)]) == 3
    _one_sentence(capsys)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("command", ["verify", "report", "profile", "lint"])
def test_an_endless_device_is_refused(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("zero.tar.gz", "zero.onnx", "zero.tflite"):
        (tmp_path / name).symlink_to("/dev/zero")
        assert run([command, str(tmp_path / name)]) == 3
        _one_sentence(capsys)


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "f"), "free disk space"),
        (OSError(errno.EROFS, "Read-only file system", "f"), "Read-only"),
        (PermissionError(errno.EACCES, "Permission denied", "f"), "Permission denied"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (OSError("a library's own words"), "own words"),
    ],
)
def test_system_errors_are_one_sentence(problem: OSError, words: str) -> None:
    message = system_failures.describe(problem)
    assert message is not None
    assert words in message
    assert "intact" in message


def test_user_message_is_not_mistaken_for_a_full_disk() -> None:
    assert system_failures.describe(RuntimeError("File too large for my model")) is None


def test_a_wrapped_full_disk_is_found() -> None:
    wrapped = RuntimeError("the writer failed")
    wrapped.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert "free disk space" in str(system_failures.describe(wrapped))


@pytest.mark.parametrize(
    "arguments",
    [["convert", "{model}", "/proc/x/m.tflite"], ["inspect", "--svg", "/proc/x.svg"]],
    ids=["convert", "svg"],
)
def test_a_folder_that_cannot_be_written_is_one_sentence(
    arguments: list[str], onnx_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([argument.format(model=onnx_file) for argument in arguments]) in (1, 2, 3)
    _one_sentence(capsys)


@pytest.fixture
def onnx_file(tmp_path: Path) -> Path:
    import onnx
    from onnx import helper

    value = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 2]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", value[:1], value[1:])
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def test_json_output_has_no_character_that_a_terminal_obeys() -> None:
    from edgeprune.safe_text import printable_json

    text = json.dumps({"a\x9b": "\u202e\x1b"}, ensure_ascii=False)
    assert printable_json(text).isprintable()
    assert json.loads(printable_json(text)) == {"a\x9b": "\u202e\x1b"}


def test_tables_have_no_character_that_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    from edgeprune.cli.console_output import echo, print_table

    print_table(("a",), [("\x1b]0;title\x07\x9b",)])
    echo("\x1b[31m")
    output = capsys.readouterr().out
    assert not [character for character in output if not (character.isprintable() or character in "\n\t")]


@pytest.mark.long
def test_a_process_ends_with_3_where_user_code_calls_exit() -> None:
    arguments = ["inspect", "builtins:exit", "--input", "1,3"]
    ended = subprocess.run(
        [sys.executable, "-m", "edgeprune", *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == 3
    assert ended.stderr.startswith("error: ")
