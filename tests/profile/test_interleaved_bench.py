"""Measuring for real on this machine, and runners that fail in every way a device can."""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from edgeprune.backends.onnxruntime.onnxruntime_backend import OnnxRuntime
from edgeprune.backends.onnxruntime.onnxruntime_session import predict
from edgeprune.devices import Capability, Local
from edgeprune.errors import BundleError, DeviceError, InputError
from edgeprune.export.onnx_export import export
from edgeprune.profile import Profile, measure
from edgeprune.profile.golden_samples import Golden
from tests.imports import imported

SCRIPT = OnnxRuntime.runner.files[0]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A wide and a narrow network: the wide one has 16 MB of weights."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    widths = {"dense": 2000, "pruned": 200}
    return {
        name: export(
            nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width)).eval(),
            (torch.randn(1, 64),),
            folder / f"{name}.onnx",
        ).path
        for name, width in widths.items()
    }


def runners(script: Path = SCRIPT) -> int:
    """Runner processes of this one that are alive."""
    count = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            arguments = stat.with_name("cmdline").read_bytes().split(b"\0")
            count += parent == os.getpid() and os.fsencode(script) in arguments
    return count


@pytest.mark.long
def test_two_models_are_profiled_interleaved(models: dict[str, Path]) -> None:
    result = measure(models, threads=1, warmup=5, runs=100, blocks=3, block_s=0)
    dense, pruned = result.models["dense"], result.models["pruned"]
    assert [len(block) for block in dense.blocks_ms] == [34, 33, 33]
    assert dense.latency_ms.runs == pruned.latency_ms.runs == 100
    for model in (dense, pruned):
        figures = model.latency_ms
        assert 0 < figures.min <= figures.p50 <= figures.p90 <= figures.p99
        assert {figures.kind, model.load_ms.kind, model.first_ms.kind} == {"measured"}
        assert model.threads == 1
        assert model.warm_up_runs >= 5
    assert dense.peak_memory_bytes is not None
    assert pruned.peak_memory_bytes is not None
    weights = 4 * 2000 * 2000
    assert weights < dense.peak_memory_bytes.value < 8 * weights
    assert pruned.peak_memory_bytes.value < dense.peak_memory_bytes.value / 2
    assert dense.runtime_memory_bytes is not None
    assert 10e6 < dense.runtime_memory_bytes.value < 1e9
    ratio = result.ratios["pruned"]
    assert ratio.low <= ratio.value <= ratio.high < 1  # a hundred times fewer multiply-adds
    assert result.device["uri"] == "local:"
    assert result.device["runtime"] == "onnxruntime"
    assert len(bytes.fromhex(result.device["fingerprint"])) == 8
    for model in (dense, pruned):
        assert model.layers is not None
        assert all(layer.ms >= 0 for layer in model.layers)
        assert sum(layer.ms for layer in model.layers) > 0
        assert sum(layer.kind in {"Gemm", "FusedGemm", "MatMul", "FusedMatMul"} for layer in model.layers) == 2
    assert result.environment is not None
    assert result.validity is not None
    assert result.validity.valid
    assert (result.validity.noise_limit, result.validity.attempts) == (None, 1)
    assert Profile.from_json(result.to_json()) == result


def test_a_fast_model_fills_its_blocks(models: dict[str, Path]) -> None:
    result = measure({"pruned": models["pruned"]}, runs=2, blocks=2, block_s=1, warmup=0, threads=1)
    assert all(2 < len(block) <= 2000 for block in result.models["pruned"].blocks_ms)


def test_values_that_a_device_cannot_report_are_omitted(models: dict[str, Path]) -> None:
    device = Local(capabilities=frozenset({Capability.PUSH, Capability.RUN}))
    result = measure({"pruned": models["pruned"]}, device, runs=3, blocks=1, block_s=0, warmup=0)
    assert result.models["pruned"].peak_memory_bytes is None
    assert result.models["pruned"].runtime_memory_bytes is None
    assert result.ratios == {}


@pytest.mark.long
def test_noisy_measurement_is_repeated_and_then_invalid(models: dict[str, Path]) -> None:
    result = measure({"pruned": models["pruned"]}, runs=40, blocks=10, block_s=0, warmup=0, noise=0.0, retries=2)
    assert result.validity is not None
    assert not result.validity.valid
    assert result.validity.attempts == 3
    assert result.models["pruned"].latency_ms.runs == 40
    (problem,) = result.validity.problems
    assert "pruned is too noisy" in problem
    assert Profile.from_json(result.to_json()) == result


@pytest.mark.long
def test_outputs_are_compared_with_golden_samples(models: dict[str, Path], tmp_path: Path) -> None:
    inputs = np.random.default_rng(0).standard_normal((3, 64)).astype(np.float32)
    outputs = predict(models["pruned"], inputs)
    right = Golden(inputs, tuple(outputs), tolerance=1e-3)
    right.save(tmp_path / "golden.npz")
    written = (tmp_path / "golden.npz").read_bytes()
    right = Golden.load(tmp_path / "golden.npz")
    right.save(tmp_path / "golden.npz")
    assert (tmp_path / "golden.npz").read_bytes() == written
    wrong = Golden(inputs, (outputs[0] * 1.01,), tolerance=1e-3)
    other = Golden(inputs, (outputs[0][:, :3],), tolerance=1e-3)
    names = {"right": right, "wrong": wrong, "other": other}
    result = measure(dict.fromkeys(names, models["pruned"]), golden=names, runs=1, blocks=1, block_s=0, warmup=0)
    assert result.validity is not None
    checks = result.validity.golden
    assert checks["right"].max_error is not None
    assert checks["right"].max_error < 1e-5
    assert (checks["right"].top1_agreement, checks["right"].samples) == (1.0, 3)
    assert checks["wrong"].max_error == pytest.approx(0.0099, rel=0.1)
    assert checks["other"].max_error is None
    wrong_problem, other_problem = result.validity.problems
    assert "outputs of wrong" in wrong_problem
    assert "other" in other_problem
    assert Profile.from_json(result.to_json()) == result
    (tmp_path / "golden.npz").write_bytes(written[:100])
    with pytest.raises(BundleError, match=r"golden\.npz"):
        Golden.load(tmp_path / "golden.npz")


def turning(folder: Path, name: str, *text: str) -> None:
    """A tool that says something else each time, and the last for ever."""
    lines = "".join(f"{index}) echo '{line}';;\n" for index, line in enumerate(text[:-1]))
    (folder / name).write_text(
        f"#!/bin/sh\nn=$(cat {folder}/{name}.n 2>/dev/null || echo 0)\necho $((n + 1)) > {folder}/{name}.n\n"
        f"case $n in\n{lines}*) echo '{text[-1]}';;\nesac\n"
    )
    (folder / name).chmod(0o755)


def test_a_device_that_throttles_meanwhile_makes_the_run_invalid(models: dict[str, Path], tools: Path) -> None:
    # Asked before and after loading, before the blocks, after each.
    turning(tools, "vcgencmd", *["throttled=0x10000"] * 3, "throttled=0x50005")
    result = measure({"pruned": models["pruned"]}, runs=2, blocks=2, block_s=0, warmup=0)
    assert result.environment is not None
    assert result.environment.before.throttle == ("under-voltage since boot",)
    assert result.environment.after.throttle is not None
    assert result.validity is not None
    assert result.validity.problems == ("the device throttled: throttled, throttled since boot, under-voltage",)
    assert Profile.from_json(result.to_json()) == result


def test_gpu_memory_is_the_increase_by_the_model(models: dict[str, Path], tools: Path, tmp_path: Path) -> None:
    turning(tools, "nvidia-smi", "40, 1980, 70.0, 100, 0x0", "41, 1980, 90.0, 600, 0x0")
    runner = tmp_path / "runner.py"
    answers = [
        '{"event": "loaded", "load_ms": 1.0, "first_ms": 1.0, "threads": 1}',
        '{"event": "warm", "runs": 1, "stable": true}',
        '{"event": "block", "latency_ms": [1.0]}',
        '{"event": "memory", "peak_bytes": 5, "baseline_bytes": 3, "source": "VmHWM"}',
    ]
    ready = '{"event": "ready", "protocol": 1, "provider": "cuda"}'
    runner.write_text(
        f"print({ready!r}, flush=True)\n"
        f"for answer in {answers!r}:\n    input()\n    print(answer, flush=True)\ninput()\n"
    )
    result = measure({"pruned": models["pruned"]}, runner=runner, runs=1, blocks=1, block_s=0).models["pruned"]
    assert result.gpu_memory_bytes is not None
    assert result.gpu_memory_bytes.value == 500 << 20
    assert result.peak_memory_bytes is not None
    assert result.peak_memory_bytes.value == 2


def test_invalid_model_is_reported_with_the_message_of_the_runtime(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(DeviceError, match=r"dense: .*broken\.onnx"):
        measure({"dense": path}, runs=1, blocks=1)
    assert runners() == 0


_READY = 'print(\'{"event": "ready", "protocol": 1}\', flush=True)\n'


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (
            "import sys; sys.exit('ModuleNotFoundError: onnxruntime')",
            r"exit code 1\b.*ModuleNotFoundError: onnxruntime$",
        ),
        ("import os; os.abort()", r"signal 6\b"),
        ("print('Segmentation fault')", "JSON: 'Segmentation fault'"),
        ("print('[1, 2]')", "'ready'"),
        ('print(\'{"event": "ready"}\')', r"'ready' .* protocol: '\{"),
        ('print(\'{"event": "ready", "protocol": 99}\')', r"protocol 99\b.* 1\b"),
        (_READY + "import time; input(); time.sleep(600)", r"\b0\.5 s"),
        (_READY + "input(); print('\\x00\\x01{')", "JSON"),
        (_READY + 'input(); print(\'{"event": "loaded", "load_ms": 1.0}\')', "'loaded' .*first_ms, threads"),
    ],
    ids=["no-runtime", "abort", "garbage", "list", "no-version", "version", "silence", "binary", "incomplete"],
)
def test_a_runner_that_fails_is_an_error_with_its_last_words_and_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: dict[str, Path], code: str, reason: str
) -> None:
    runner = tmp_path / "runner.py"
    runner.write_text(code, encoding="utf-8")
    monkeypatch.setattr("edgeprune.devices.subprocess_channel._END_S", 0.2)
    with pytest.raises(DeviceError, match=reason) as raised:
        measure({"dense": models["pruned"]}, runner=runner, timeout_s=0.5 if "sleep" in code else 20.0)
    assert raised.value.exit_code == 5
    assert runners(runner) == 0


@pytest.mark.parametrize("latencies", ["[]", "[1.0, -1.0]", "[1.0, NaN]", '[1.0, "2"]'])
def test_invalid_latencies_are_refused(tmp_path: Path, models: dict[str, Path], latencies: str) -> None:
    runner = tmp_path / "runner.py"
    answers = [
        '{"event": "loaded", "load_ms": 1.0, "first_ms": 1.0, "threads": 1}',
        '{"event": "warm", "runs": 1, "stable": true}',
        f'{{"event": "block", "latency_ms": {latencies}}}',
    ]
    runner.write_text(_READY + f"for answer in {answers!r}:\n    input()\n    print(answer, flush=True)\n")
    with pytest.raises(DeviceError, match=r"dense: .*latenc"):
        measure({"dense": models["pruned"]}, runner=runner, runs=2, blocks=1, timeout_s=20)


@pytest.mark.long
def test_models_are_measured_interleaved(models: dict[str, Path]) -> None:
    """Commands are recorded on their way to real runners: one works at a time, in blocks A B A B."""
    sent: list[tuple[int, str]] = []

    class Recording(Local):
        @contextmanager
        def open(self) -> Iterator[object]:
            with super().open() as workspace:
                yield _Recorded(workspace, sent)

    assert runners() == 0
    measure(models, Recording(), runs=4, blocks=2, block_s=0, warmup=1)
    measured = [number for number, line in sent if '"measure"' in line]
    assert measured == [0, 1, 0, 1]


class _Recorded:
    def __init__(self, workspace: object, sent: list[tuple[int, str]]) -> None:
        self._workspace, self._sent, self._count = workspace, sent, 0
        self.push = workspace.push

    def converse(self, arguments: Sequence[str]) -> object:
        talk, number = self._workspace.converse(arguments), self._count
        if arguments[0] != str(SCRIPT):
            return talk
        self._count += 1
        assert runners() == self._count
        send = talk.send

        def record(line: str) -> None:
            self._sent.append((number, line))
            send(line)

        talk.send = record
        return talk


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1}', '{"schema": 2, "models": {}}', "null"])
def test_invalid_profile_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"here\.json"):
        Profile.from_json(text, where="here.json")


@pytest.fixture(scope="module")
def measured(models: dict[str, Path]) -> str:
    return measure({"pruned": models["pruned"]}, runs=2, blocks=2, block_s=0, warmup=0).to_json()


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("latency_ms", "p50"), 0, r"models\.pruned\.latency_ms\.p50: .* 0"),
        (("latency_ms", "p50"), "soon", r"models\.pruned\.latency_ms\.p50: .*number"),
        (("latency_ms", "kind"), "guessed", r"models\.pruned\.latency_ms\.kind: .*'estimated', "),
        (("blocks_ms",), [[1.0], []], r"models\.pruned\.blocks_ms\.1: "),
        (("blocks_ms",), [], r"models\.pruned\.blocks_ms: "),
        (("blocks_ms",), [[-1.0]], r"models\.pruned\.blocks_ms\.0\.0: .* 0"),
        (("peak_memory_bytes", "value"), math.nan, "NaN"),
        (("threads",), None, r"models\.pruned\.threads: .*integer"),
    ],
)
def test_invalid_figures_in_a_profile_are_refused(
    measured: str, where: tuple[str, ...], value: object, message: str
) -> None:
    values = json.loads(measured)
    *folders, name = where
    inner = values["models"]["pruned"]
    for folder in folders:
        inner = inner[folder]
    inner[name] = value
    with pytest.raises(InputError, match=rf"here\.json.*{message}"):
        Profile.from_json(json.dumps(values), where="here.json")


def test_imported_objects_are_excluded_from_garbage_collection() -> None:
    """To search all objects of onnxruntime and numpy takes longer than most measurements."""
    code = "import gc, runpy, sys; runpy.run_path(sys.argv[1])['Server']('cpu'); print(gc.get_freeze_count())"
    argv = [sys.executable, "-c", code, str(SCRIPT)]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=True)
    assert int(ended.stdout) > 10_000


def test_the_runner_needs_python_3_8_numpy_and_onnxruntime_only(tmp_path: Path) -> None:
    assert imported(SCRIPT) - sys.stdlib_module_names == {"numpy", "onnxruntime"}
    assert {line.partition(">")[0] for line in OnnxRuntime.runner.requirements.split()} == {"numpy", "onnxruntime"}


def test_largest_outputs_are_printed_with_their_indices(tmp_path: Path) -> None:
    """All outputs of a network that is not a classifier: of several dimensions, integers and single values."""
    info = onnx.helper.make_tensor_value_info
    nodes = [
        onnx.helper.make_node("Identity", ["x"], ["boxes"]),
        onnx.helper.make_node("ArgMax", ["x"], ["count"], axis=1, keepdims=0),
        onnx.helper.make_node("ReduceMax", ["x"], ["most"], axes=[1, 2], keepdims=0),
    ]
    outputs = [
        info("boxes", onnx.TensorProto.FLOAT, ["n", 2, 3]),
        info("count", onnx.TensorProto.INT64, ["n", 3]),
        info("most", onnx.TensorProto.FLOAT, ["n"]),
    ]
    graph = onnx.helper.make_graph(nodes, "network", [info("x", onnx.TensorProto.FLOAT, ["n", 2, 3])], outputs)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "model.onnx")
    np.save(tmp_path / "x.npy", np.array([[[0, 1, 2], [5, 4, 3]]], np.float32))
    argv = [sys.executable, str(SCRIPT), "model.onnx", "--input", "x.npy", "--best", "2"]
    output = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert output.returncode == 0, output.stderr
    assert output.stdout.splitlines() == [
        "output boxes, largest values as index: value",
        "sample 0  1, 0: 5  1, 1: 4",
        "output count, largest values as index: value",
        "sample 0  2: 1  1: 1",
        "output most, largest values as index: value",
        "sample 0  0: 5",
    ]


@pytest.mark.long
def test_runner_works_on_the_command_line(tmp_path: Path, models: dict[str, Path]) -> None:
    import shutil

    shutil.copy(models["pruned"], tmp_path / "model.onnx")
    shutil.copy(SCRIPT, tmp_path / "run.py")
    samples = np.random.default_rng(0).standard_normal((3, 64)).astype(np.float32)
    np.save(tmp_path / "x.npy", samples)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-I", "run.py", *arguments]
        return subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)

    output = run("--input", "x.npy", "--output", "out.npz", "--best", "2")
    assert output.returncode == 0, output.stderr
    (expected,) = predict(models["pruned"], samples)
    with np.load(tmp_path / "out.npz") as stored:
        np.testing.assert_allclose(stored["output"], expected, rtol=1e-4, atol=1e-5)
    heading, *lines = output.stdout.splitlines()
    assert heading == "output output, largest values as index: value"
    largest = [int(line.split()[2].rstrip(":")) for line in lines]
    assert largest == list(expected.argmax(1))
    assert [line.split("  ")[0] for line in lines] == ["sample 0", "sample 1", "sample 2"]
    assert {len(line.split("  ")) for line in lines} == {3}
    assert "p50" in run("--benchmark", "10", "--threads", "1").stdout
    np.save(tmp_path / "x.npy", samples[:, :3])
    refused = run("--input", "x.npy")
    assert refused.returncode == 1
    assert all(shape in refused.stderr for shape in ("[1, 64]", "[3, 3]"))
    assert run().returncode == 2
    golden = {"input": samples, "output_0": expected, "tolerance": np.float64(1e-3)}
    np.savez(tmp_path / "golden.npz", **golden)
    for tried in (run(), run("--input", "golden.npz")):
        assert tried.returncode == 0, tried.stderr
        assert len(tried.stdout.splitlines()) == 2 + len(samples)
    np.savez(tmp_path / "golden.npz", **{**golden, "output_0": expected + 1})
    assert run().returncode == 1
    np.savez(tmp_path / "golden.npz", other=samples)
    assert "input" in run().stderr
