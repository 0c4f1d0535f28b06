"""The linter of TFLite files: each kind of finding on a file that has it, the boards, and MLPerf Tiny's own files."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from torch import nn

from edgeprune.backends.tflm import sandbox, tflm_footprint
from edgeprune.backends.tflm.linting import Finding, LintReport, lint
from edgeprune.cli import run
from edgeprune.errors import ModelError, TargetError
from edgeprune.export.onnx_export import export
from edgeprune.model.data import TensorSplit
from edgeprune.operator_facts.tflite_operators import MICRO_CUSTOM_KERNELS, TFLITE
from edgeprune.tflite.conversion import convert
from edgeprune.tflite.tflite_file import pack
from edgeprune.tflite.tflite_loading import load
from edgeprune.tflite.tflite_quantizing import quantize
from tests.tflite.tflite_files import FLOAT, INT32, File, fully_connected


def _lint(folder: Path, content: bytes, *targets: str) -> LintReport:
    (folder / "m.tflite").write_bytes(content)
    return lint(folder / "m.tflite", targets)


def _only(report: LintReport, code: str) -> Finding:
    (result,) = [finding for finding in report.findings if finding.code == code]
    return result


def test_a_good_file_has_no_findings(tmp_path: Path) -> None:
    file, x, y = fully_connected()
    report = _lint(tmp_path, file.content((x,), (y,)), "nucleo-l4r5zi")
    assert report.findings == ()
    assert report.operators == {"FULLY_CONNECTED": 1}
    assert report.footprint is not None
    assert [(fit.board, fit.fits) for fit in report.boards] == [("nucleo-l4r5zi", True)]
    assert report.boards[0].arena_bytes == report.footprint.arena_bytes


def test_hybrid_operators_are_errors(tmp_path: Path) -> None:
    file = File()
    x, y = file.tensor("x", (1, 8), FLOAT), file.tensor("y", (1, 4), FLOAT)
    weights = file.tensor("w", (4, 8), data=np.ones((4, 8), np.int8))
    file.op("FULLY_CONNECTED", (x, weights, -1), (y,), schema.FullyConnectedOptionsT())
    report = _lint(tmp_path, file.content((x,), (y,)))
    result = _only(report, "hybrid-op")
    assert (result.level, result.op, result.operator, result.tensor) == ("error", 0, "FULLY_CONNECTED", "y")
    assert report.footprint is None
    assert {fit.arena_bytes for fit in report.boards} == {None}


def test_tflite_micro_refuses_hybrid_operators(tmp_path: Path) -> None:
    test_hybrid_operators_are_errors(tmp_path)
    with pytest.raises(ModelError, match=r"FLOAT32.*INT8"):
        sandbox.arena(tmp_path / "m.tflite")


def test_buffers_behind_the_flatbuffer_are_errors(tmp_path: Path) -> None:
    file, x, y = fully_connected()
    content = bytearray(file.content((x,), (y,)))
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    model.buffers[1] = schema.BufferT(offset=1 << 20, size=32)  # a place that can be put in later
    moved = bytearray(_packed_as_it_is(model))
    place = len(moved) + -len(moved) % 16
    stored = schema.Model.GetRootAs(moved).Buffers(1)
    moved[(at := stored._tab.Pos + stored._tab.Offset(6)) : at + 8] = place.to_bytes(8, "little")
    report = _lint(tmp_path, bytes(moved).ljust(place, b"\0") + bytes([1] * 32))
    result = _only(report, "offset-buffer")
    assert (result.level, result.tensor) == ("error", "w")
    assert "pack" in result.remedy


def _packed_as_it_is(model: schema.ModelT) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _with_float_island(file: File, kinds: tuple[str, ...]) -> tuple[int, int]:
    """x -> layer -> DEQUANTIZE -> kinds -> QUANTIZE -> layer."""
    x = file.tensor("x", (1, 8))
    first = file.tensor("first", (1, 8))
    weights = file.tensor("w", (8, 8), data=np.ones((8, 8), np.int8))
    file.op("FULLY_CONNECTED", (x, weights, -1), (first,), schema.FullyConnectedOptionsT())
    last = file.tensor("dequantized", (1, 8), FLOAT)
    file.op("DEQUANTIZE", (first,), (last,))
    for kind in kinds:
        before, last = last, file.tensor(kind.lower(), (1, 8), FLOAT)
        file.op(kind, (before,), (last,))
    quantized, y = file.tensor("quantized", (1, 8)), file.tensor("y", (1, 8))
    file.op("QUANTIZE", (last,), (quantized,))
    file.op("FULLY_CONNECTED", (quantized, weights, -1), (y,), schema.FullyConnectedOptionsT())
    return x, y


def test_each_float_island_is_reported_once(tmp_path: Path) -> None:
    file = File()
    x, y = _with_float_island(file, ("EXP", "ABS"))
    report = _lint(tmp_path, file.content((x,), (y,)))
    result = _only(report, "float-island")
    assert (result.level, result.op, result.tensor) == ("warning", 2, "exp")
    assert result.message.startswith("2 float operators to op 3 ")
    assert "EXP, ABS" in result.message
    assert not report.errors
    assert report.footprint is not None  # TFLite Micro has float kernels of both


def test_adjacent_float_islands_are_merged(tmp_path: Path) -> None:
    file = File()
    x = file.tensor("x", (1, 8))
    q = file.tensor("q", (1, 8))
    file.op("RELU", (x,), (q,))
    floats = [file.tensor(f"f{number}", (1, 8), FLOAT) for number in range(6)]
    file.op("DEQUANTIZE", (q,), (floats[0],))
    file.op("DEQUANTIZE", (x,), (floats[1],))
    file.op("EXP", (floats[0],), (floats[2],))
    file.op("ABS", (floats[1],), (floats[3],))
    file.op("ADD", (floats[2], floats[3]), (floats[4],), schema.AddOptionsT())
    y = file.tensor("y", (1, 8))
    file.op("QUANTIZE", (floats[4],), (y,))
    report = _lint(tmp_path, file.content((x,), (y,)))
    assert _only(report, "float-island").message.startswith("3 float operators to op 5")


def test_float_inputs_and_outputs_of_an_int8_file_are_reported(tmp_path: Path) -> None:
    file, x, y = fully_connected()
    out = file.tensor("out", (1, 4), FLOAT)
    file.op("DEQUANTIZE", (y,), (out,))
    report = _lint(tmp_path, file.content((x,), (out,)))
    assert [(one.code, one.level, one.tensor) for one in report.findings] == [("float-port", "note", "out")]


def test_float_file_is_one_finding(tmp_path: Path) -> None:
    file = File()
    x, y, z = (file.tensor(name, (1, 8), FLOAT) for name in "xyz")
    file.op("EXP", (x,), (y,))
    file.op("ABS", (y,), (z,))
    report = _lint(tmp_path, file.content((x,), (z,)))
    assert [(one.code, one.level) for one in report.findings] == [("float-model", "warning")]


def test_dequantized_weights_are_reported(tmp_path: Path) -> None:
    file = File()
    x, y = file.tensor("x", (1, 8), FLOAT), file.tensor("y", (1, 4), FLOAT)
    stored = file.tensor("w", (4, 8), data=np.ones((4, 8), np.int8))
    weights = file.tensor("unpacked", (4, 8), FLOAT)
    file.op("DEQUANTIZE", (stored,), (weights,))
    file.op("FULLY_CONNECTED", (x, weights, -1), (y,), schema.FullyConnectedOptionsT())
    assert _only(_lint(tmp_path, file.content((x,), (y,))), "unpacked-weights").tensor == "unpacked"


def test_shapes_that_are_not_known_are_errors(tmp_path: Path) -> None:
    file, x, y = fully_connected()
    file.tensors[x].shape = [-1, 8]
    report = _lint(tmp_path, file.content((x,), (y,)))
    assert (_only(report, "dynamic-shape").level, _only(report, "dynamic-shape").tensor) == ("error", "x")
    file.tensors[x].shape, file.tensors[x].shapeSignature = [1, 8], [-1, 8]
    assert _only(_lint(tmp_path, file.content((x,), (y,))), "open-shape").level == "note"


def test_shapes_that_values_decide_are_errors(tmp_path: Path) -> None:
    file = File()
    x, y = file.tensor("x", (1, 8)), file.tensor("y", (8, 1))
    expected = file.tensor("wanted", (2,), INT32)
    file.op("RESHAPE", (x, expected), (y,), schema.ReshapeOptionsT())
    result = _only(_lint(tmp_path, file.content((x, expected), (y,))), "dynamic-tensor")
    assert (result.level, result.operator) == ("error", "RESHAPE")
    file.buffers.append(schema.BufferT(data=np.array([8, 1], np.int32).tobytes()))
    file.tensors[expected].buffer = 1
    assert not _lint(tmp_path, file.content((x,), (y,))).errors


@pytest.mark.parametrize(("kind", "custom"), [("GELU", ""), ("TOPK_V2", ""), ("CUSTOM", "MyOwn")])
def test_operators_without_a_kernel_are_errors(tmp_path: Path, kind: str, custom: str) -> None:
    file = File()
    x, y = file.tensor("x", (1, 8)), file.tensor("y", (1, 8))
    file.op(kind, (x,), (y,), custom=custom)
    result = _only(_lint(tmp_path, file.content((x,), (y,))), "no-kernel")
    assert (result.level, result.operator) == ("error", custom or kind)


@pytest.mark.long
def test_the_list_of_kernels_is_what_tflite_micro_registers() -> None:
    """Each builtin operator alone in a file: does TFLite Micro find one? What its kernels then do is another matter."""
    root = Path(__file__).parents[4]
    argv = [sys.executable, "-m", "tests.backends.tflm.linting.registered", *MICRO_CUSTOM_KERNELS, "MyOwn"]
    ended = subprocess.run(argv, cwd=root, capture_output=True, text=True, check=True, timeout=600)
    values = json.loads(ended.stdout)
    assert set(values["builtin"]) == set(TFLITE.names(lambda facts: facts.micro_kernel))
    assert set(values["custom"]) == MICRO_CUSTOM_KERNELS


def _convolution(channels: int, outputs: int, *, size: int = 3) -> bytes:
    file = File()
    x, y = file.tensor("x", (1, 8, 8, channels)), file.tensor("y", (1, 8, 8, outputs))
    weights = file.tensor(
        "w", (outputs, size, size, channels), data=np.ones((outputs, size, size, channels), np.int8), steps=outputs
    )
    file.op("CONV_2D", (x, weights, -1), (y,), schema.Conv2DOptionsT(strideW=1, strideH=1))
    return file.content((x,), (y,))


@pytest.mark.long
@pytest.mark.parametrize(
    ("channels", "outputs", "message"),
    [
        (4, 8, None),
        (3, 8, "3 of 27 products"),
        (8, 9, "1 of 9 output channels"),
        (3, 9, "1 of 9"),
    ],
)
def test_channel_counts_that_miss_the_fast_loops(
    tmp_path: Path, channels: int, outputs: int, message: str | None
) -> None:
    content = _convolution(channels, outputs)
    slow = [one for one in _lint(tmp_path, content, "nucleo-l4r5zi").findings if one.code == "cmsis-nn-slow-path"]
    assert [message in one.message for one in slow if message] == ([] if message is None else [True])
    assert len(slow) == (message is not None)
    # Vectors, no DSP, other kernels.
    assert not _lint(tmp_path, content, "corstone-300", "rp2040-pico", "esp32-s3").findings


def _depthwise(channels: int, multiplier: int, dilation: int) -> bytes:
    file = File()
    x, y = file.tensor("x", (1, 8, 8, channels)), file.tensor("y", (1, 8, 8, channels * multiplier))
    shape = (1, 3, 3, channels * multiplier)
    weights = file.tensor("w", shape, data=np.ones(shape, np.int8), steps=channels * multiplier, axis=3)
    options = schema.DepthwiseConv2DOptionsT(
        strideW=1, strideH=1, depthMultiplier=multiplier, dilationWFactor=dilation, dilationHFactor=dilation
    )
    file.op("DEPTHWISE_CONV_2D", (x, weights, -1), (y,), options)
    return file.content((x,), (y,))


@pytest.mark.parametrize(
    ("channels", "multiplier", "dilation", "level", "message"),
    [
        (8, 1, 1, "", ""),
        (6, 1, 1, "note", "2 of 6 channels"),
        (4, 2, 1, "warning", "8 filters for 4 input channels"),
        (4, 1, 2, "warning", "dilation"),
    ],
)
def test_depthwise_layers_that_miss_the_fast_kernels(
    tmp_path: Path, channels: int, multiplier: int, dilation: int, level: str, message: str
) -> None:
    report = _lint(tmp_path, _depthwise(channels, multiplier, dilation), "arduino-nano-33-ble")
    slow = [(one.level, message in one.message) for one in report.findings if one.code == "cmsis-nn-slow-path"]
    assert slow == ([(level, True)] if level else [])


def test_file_without_operators_is_linted(tmp_path: Path) -> None:
    file, x, _ = fully_connected()
    file.operators.clear()
    report = _lint(tmp_path, file.content((x,), (x,)))
    assert report.operators == {}
    assert report.footprint is None or report.footprint.peak.operator == "nothing"


def test_options_of_another_operator_are_ignored(tmp_path: Path) -> None:
    """A union may hold anything; runtimes take the defaults then."""
    model = load(_depthwise(6, 1, 2))
    op = model.subgraphs[0].operators[0]
    op.builtinOptions, op.builtinOptionsType = schema.AddOptionsT(), schema.BuiltinOptions.AddOptions
    report = _lint(tmp_path, pack(model), "arduino-nano-33-ble")
    assert [one.level for one in report.findings if one.code == "cmsis-nn-slow-path"] == ["note"]


@pytest.mark.long
def test_board_that_is_too_small_is_an_error_only_if_requested(tmp_path: Path) -> None:
    file, x, y = fully_connected(inputs=8, outputs=4)
    big = file.tensor("big", (1, 1 << 18))
    file.op("PAD", (y, file.tensor("p", (2, 2), INT32, np.array([[0, 0], [0, (1 << 18) - 4]], np.int32))), (big,))
    content = file.content((x,), (big,))
    report = _lint(tmp_path, content)
    assert not report.errors
    fits = {fit.board: fit.fits for fit in report.boards}
    assert (fits["arduino-nano-33-ble"], fits["nucleo-l4r5zi"]) == (False, True)
    result = _only(_lint(tmp_path, content, "nucleo-l4r5zi", "arduino-nano-33-ble"), "arena-too-large")
    assert "arduino-nano-33-ble has 196,608" in result.message
    assert "estimated" in result.message
    file.tensor("unused", (1 << 20,), data=np.zeros(1 << 20, np.int8))
    assert (
        "model" not in _only(_lint(tmp_path, file.content((x,), (big,)), "arduino-nano-33-ble"), "flash-too-large").code
    )


@pytest.mark.parametrize("between", [None, "RESHAPE"])
def test_part_of_a_concatenation_with_a_small_range_is_a_warning(between: str | None, tmp_path: Path) -> None:
    file = File()
    boxes, raw = file.tensor("boxes", (1, 4), scale=1.3), file.tensor("raw", (1, 2), scale=0.1)
    scores = file.tensor("scores", (1, 2), scale=1 / 256)
    file.op("LOGISTIC", (raw,), (scores,))
    if between:
        moved = file.tensor("moved", (1, 2), scale=1 / 256)
        file.op(between, (scores,), (moved,))
        scores = moved
    wide, joined = file.tensor("wide", (1, 2), scale=1.3), file.tensor("joined", (1, 6), scale=1.3)
    file.op("QUANTIZE", (scores,), (wide,))
    file.op("CONCATENATION", (boxes, wide), (joined,), schema.ConcatenationOptionsT(axis=1))
    finding = _only(_lint(tmp_path, file.content((boxes, raw), (joined,))), "narrow-range")
    assert (finding.level, finding.tensor) == ("warning", "wide")
    assert "1 of 255" in finding.message


def test_output_with_a_small_range_is_a_warning(tmp_path: Path) -> None:
    file = File()
    x, y = file.tensor("x", (1, 4), scale=0.1), file.tensor("y", (1, 4), scale=0.2)
    file.op("TANH", (x,), (y,))
    finding = _only(_lint(tmp_path, file.content((x,), (y,))), "narrow-range")
    assert finding.tensor == "y"
    assert "10 of 255" in finding.message


def test_a_target_that_is_no_microcontroller_is_refused(tmp_path: Path) -> None:
    file, x, y = fully_connected()
    with pytest.raises(TargetError, match=r"raspberry-pi-4\b.*nucleo-l4r5zi"):
        _lint(tmp_path, file.content((x,), (y,)), "rpi")


def test_file_that_crashes_tflite_micro_is_an_error(tmp_path: Path) -> None:
    """A MEAN without axes: the file is in order, and the kernel reads an input that is not there."""
    file = File()
    x, y = file.tensor("x", (1, 4), FLOAT), file.tensor("y", (1, 4), FLOAT)
    file.op("MEAN", (x,), (y,))
    report = _lint(tmp_path, file.content((x,), (y,)))
    assert re.search(r"m\.tflite \(SIG", _only(report, "tflm-refuses").message)


def test_a_process_that_dies_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, x, y = fully_connected()
    (tmp_path / "m.tflite").write_bytes(file.content((x,), (y,)))
    monkeypatch.setattr("sys.executable", str(_script(tmp_path, "kill -SEGV $$")))
    with pytest.raises(ModelError, match=r"m\.tflite \(SIGSEGV\)"):
        sandbox.arena(tmp_path / "m.tflite")
    monkeypatch.setattr("sys.executable", str(_script(tmp_path, "exec sleep 60")))
    with pytest.raises(ModelError, match=r"m\.tflite .*0\.2 s"):
        sandbox.arena(tmp_path / "m.tflite", timeout_s=0.2)
    monkeypatch.setattr("sys.executable", str(_script(tmp_path, "echo MemoryError >&2; exit 1")))
    with pytest.raises(ModelError, match=r"m\.tflite: MemoryError"):
        sandbox.arena(tmp_path / "m.tflite")


def _script(folder: Path, line: str) -> Path:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path


@pytest.mark.long
def test_file_converted_by_edgeprune_has_no_findings(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10)).eval()
    written = export(network, (torch.randn(1, 4, 8, 8),), tmp_path / "m.onnx")
    converted = convert(written.path, tmp_path / "m.tflite")
    assert [finding.code for finding in lint(converted.path).findings] == ["float-model"]
    samples = TensorSplit(torch.randn(32, 4, 8, 8), torch.zeros(32, dtype=torch.int64))
    result = quantize(converted, tmp_path / "int8.tflite", samples)
    report = lint(result.path, ["arduino-nano-33-ble"])
    assert report.findings == ()
    assert report.footprint is not None
    assert report.footprint == tflm_footprint.footprint(result.path)


@pytest.mark.long
def test_mlperf_tiny(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the linter says of the reference files; the arenas are those of TFLite Micro's own allocator."""
    folder = shared_data / "models"
    assert run(["lint", str(folder / "mlperf_tiny_ic_int8.tflite"), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["operators"] == {
        "CONV_2D": 9, "ADD": 3, "AVERAGE_POOL_2D": 1, "RESHAPE": 1, "FULLY_CONNECTED": 1, "SOFTMAX": 1,
    }  # fmt: skip
    assert [(one["level"], one["code"], one["op"]) for one in values["findings"]] == [
        ("note", "open-shape", None),
        ("note", "cmsis-nn-slow-path", 0),
    ]
    assert "3 of 27 products" in values["findings"][1]["message"]
    assert values["arena"]["nonpersistent_bytes"] == 49_152  # three images of 32 x 32 x 16
    assert values["arena"]["restated_for_32_bit"] == 54_432
    assert values["arena"]["scratch_bytes"] == 832
    assert {board["arena_bytes"] for board in values["boards"]} == {55_264}
    assert all(board["fits"] for board in values["boards"])
    assert run(["lint", str(folder / "mlperf_tiny_ad01_int8.tflite")]) == 0
    printed = capsys.readouterr().out
    assert "276,976 bytes; 10 FULLY_CONNECTED" in printed
    assert "3,028 with 32-bit pointers and CMSIS-NN's scratch buffers, estimated" in printed
    assert "768 of activations, at FULLY_CONNECTED" in printed
    assert "arduino-nano-33-ble" in printed


def test_the_command_ends_with_3_where_the_file_cannot_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = File()
    x, y = file.tensor("x", (1, 8)), file.tensor("y", (1, 8))
    file.op("GELU", (x,), (y,))
    (tmp_path / "m.tflite").write_bytes(file.content((x,), (y,)))
    assert run(["lint", str(tmp_path / "m.tflite"), "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["ok"] is False
    assert run(["lint", str(tmp_path / "m.tflite")]) == 3
    printed = capsys.readouterr().out
    assert "no-kernel" in printed
    assert "op 0 GELU y" in printed
    assert run(["lint", str(tmp_path / "none.tflite")]) == 3
    assert "No such file" in capsys.readouterr().err


def _flipped(content: bytes, generator: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(generator.choice((1, 3, 10))):
        changed[generator.randrange(len(changed))] = generator.choice((0, 127, 128, 255, generator.randrange(256)))
    return bytes(changed)


def _cut(content: bytes, generator: random.Random) -> bytes:
    return content[: generator.randrange(len(content))]


def _ending(folder: Path, content: bytes) -> str:
    try:
        report = _lint(folder, content)
    except ModelError:
        return "refused"
    assert (report.footprint is None) == bool(report.errors)
    return "linted"


@pytest.mark.long
@pytest.mark.parametrize("change", [_flipped, _cut])
def test_damaged_files_are_errors_or_linted(tmp_path: Path, change: Callable[[bytes, random.Random], bytes]) -> None:
    """Beside what the reader's own tests do: all checks, and TFLite Micro where they let it."""
    file = File()
    x, y = _with_float_island(file, ("EXP",))
    content = file.content((x,), (y,))
    generator = random.Random(3)
    ended = {"refused": 0, "linted": 0}
    for _ in range(12):
        ended[_ending(tmp_path, change(content, generator))] += 1
    assert ended["refused"] > 0
    assert change is _cut or ended["linted"] > 0
