"""``edgeprune compile``: files, table, golden vectors, and folders that it does not replace."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edgeprune.cli import run
from tests.backends.c.host_program import needs_gcc
from tests.tflite.tflite_files import File, fully_connected

_FILES = {"kernels.c", "kernels.h", "model.c", "model.h", "weights.c", "weights.h"}
_GOLDEN = {"golden.c", "golden.h"}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    file, x, y = fully_connected()
    path = tmp_path / "m.tflite"
    path.write_bytes(file.content([x], [y]))
    return path


def _samples(path: Path, *shape: int, dtype: str = "int8") -> str:
    np.save(path, np.random.default_rng(0).integers(-9, 9, shape).astype(dtype))
    return str(path)


def test_files_and_figures_agree(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "deep" / "c"
    arguments = ["compile", str(model), "--output", str(output), "--name", "My net"]
    assert run([*arguments, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed["files"]) == {file.name for file in output.iterdir()} == _FILES
    assert all((output / name).stat().st_size == size for name, size in printed["files"].items())
    assert (printed["macs"], printed["arena_bytes"]) == (32, 0)
    (layer,) = printed["layers"]
    assert (layer["operators"], layer["inputs"], layer["outputs"]) == (["FULLY_CONNECTED"], [[1, 8]], [[1, 4]])
    assert layer["constants_bytes"] == printed["constants_bytes"] == 8 * 4 + 4 * (4 + 4 + 1)
    assert "void my_net_run(const int8_t *in, int8_t *out);" in (output / "model.h").read_text()
    assert run(arguments) == 0  # replaces its earlier output
    text = capsys.readouterr().out
    assert "FULLY_CONNECTED" in text
    assert "68 bytes" in text
    assert [path.name for path in output.parent.iterdir()] == ["c"]


@needs_gcc
@pytest.mark.parametrize(("shape", "dtype"), [((3, 1, 8), "int8"), ((3, 8), "float32"), ((20, 8), "int8")])
def test_golden_vectors_are_those_of_tflite_micro(
    shape: tuple[int, ...], dtype: str, model: Path, tmp_path: Path
) -> None:
    output, main = tmp_path / "c", tmp_path / "main.c"
    samples = _samples(tmp_path / "s.npy", *shape, dtype=dtype)
    assert run(["compile", str(model), "--output", str(output), "--inputs", samples]) == 0
    assert {file.name for file in output.iterdir()} == _FILES | _GOLDEN
    assert f"VECTORS {min(shape[0], 8)}\n" in (output / "golden.h").read_text()
    main.write_text('#include "golden.h"\nint main(void) { return model_golden_failures(); }\n')

    def failures() -> int:
        program = tmp_path / "program"
        sources = [str(main), *map(str, output.glob("*.c"))]
        command = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", "-I", str(output)]
        subprocess.run([*command, "-o", str(program), *sources], check=True)
        return subprocess.run([str(program)], check=False).returncode

    assert failures() == 0
    golden = output / "golden.c"
    head, _, values = golden.read_text().partition("model_golden_out")
    body, _, end = values.partition("};")
    golden.write_text(f"{head}model_golden_out{body.rsplit(',', 2)[0]}, 99\n}};{end}")
    assert failures() == 1


def test_golden_files_of_an_earlier_run_are_removed(model: Path, tmp_path: Path) -> None:
    output = tmp_path / "c"
    arguments = ["compile", str(model), "--output", str(output)]
    assert run([*arguments, "--inputs", _samples(tmp_path / "s.npy", 2, 8)]) == 0
    assert run(arguments) == 0
    assert {file.name for file in output.iterdir()} == _FILES


def test_folder_with_other_files_is_not_replaced(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "c"
    output.mkdir()
    assert run(["compile", str(model), "--output", str(output)]) == 0
    for name, make in (
        ("main.c", lambda path: path.write_text("int main(void);")),
        ("folder", lambda path: path.mkdir()),
        ("link", lambda path: path.symlink_to(model)),
    ):
        make(output / name)
        before = sorted(path.name for path in output.iterdir())
        assert run(["compile", str(model), "--output", str(output)]) == 3
        assert name in capsys.readouterr().err
        assert sorted(path.name for path in output.iterdir()) == before
        (output / name).rmdir() if name == "folder" else (output / name).unlink()
    assert run(["compile", str(model), "--output", str(model.parent)]) == 3
    link = tmp_path / "l"
    link.symlink_to(output)
    assert run(["compile", str(model), "--output", str(link)]) == 3
    shutil.rmtree(output)


@pytest.mark.parametrize(
    ("shape", "dtype", "part"), [((2, 7), "int8", "N x 1 x 8"), ((0, 8), "int8", "samples"), ((2, 8), "int64", "int64")]
)
def test_samples_that_do_not_fit_are_refused(
    shape: tuple[int, ...], dtype: str, part: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = _samples(tmp_path / "s.npy", *shape, dtype=dtype)
    assert run(["compile", str(model), "--output", str(tmp_path / "c"), "--inputs", samples]) == 3
    assert part in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"no array"])
def test_damaged_samples_are_refused(
    content: bytes, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = tmp_path / "s.npy"
    samples.write_bytes(content)
    assert run(["compile", str(model), "--output", str(tmp_path / "c"), "--inputs", str(samples)]) == 3
    assert "s.npy" in capsys.readouterr().err


def test_two_files_for_one_input_are_refused(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = _samples(tmp_path / "s.npy", 2, 8)
    assert run(["compile", str(model), "--output", str(tmp_path / "c"), "--inputs", samples, "--inputs", samples]) == 3
    assert "1 inputs" in capsys.readouterr().err


def test_file_without_c_code_leaves_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = File()
    x, y = file.tensor("x", (1, 4)), file.tensor("y", (1, 4))
    file.op("L2_NORMALIZATION", (x,), (y,))
    path = tmp_path / "m.tflite"
    path.write_bytes(file.content([x], [y]))
    assert run(["compile", str(path), "--output", str(tmp_path / "c")]) == 3
    assert "L2_NORMALIZATION 'y'" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()
