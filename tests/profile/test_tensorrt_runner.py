"""The runner of TensorRT, through EdgePrune's own protocol, on recorded output (see ``recorded_trtexec``)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from edgeprune.backends.tensorrt.tensorrt_backend import TensorRT
from edgeprune.devices import Local
from edgeprune.errors import DeviceError
from edgeprune.profile.runner_client import Runner
from tests.profile import recorded_trtexec

pytestmark = pytest.mark.long

_SCRIPTS = TensorRT.runner.files


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """As it is shipped: the runner is called run.py."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    for file in _SCRIPTS:
        shutil.copy(file, folder / ("run.py" if file == _SCRIPTS[0] else file.name))
    (folder / "model.onnx").write_text("model.onnx")
    return folder


def run(bundle: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(bundle / "run.py"), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.mark.parametrize("release", recorded_trtexec.BANNERS)
def test_tensorrt_runner_measures(tools: Path, bundle: Path, release: str) -> None:
    recorded_trtexec.install(tools, release)
    with Local().open() as workspace:
        paths = [workspace.push(file) for file in _SCRIPTS]
        runner = Runner(workspace, paths[0], "pruned", timeout_s=30)
        assert runner.machine["runtime"] == "tensorrt"
        assert runner.machine["runtime_version"].startswith(release)
        runner.load(str(bundle / "model.onnx"), threads=None, spinning=True, seed=0)
        runner.warm_up(20)
        assert runner.measure(20, 100, 0.25) == pytest.approx(0.83)
        layers = runner.layers()
        answer(tools, [{"name": "output", "dimensions": "1x3", "values": [1, -2.5e-05, 0.125]}])
        (outputs,) = runner.outputs(np.zeros((2, 1, 8, 8), np.float32)) or ()
        assert outputs.tolist() == [pytest.approx([1, -2.5e-05, 0.125])] * 2
        result = runner.result("0" * 64, "measured", runner.memory(), layers=layers)
    assert result.layers is not None
    assert [layer.name for layer in result.layers] == [e["name"] for e in recorded_trtexec.PROFILE if "name" in e]
    assert result.latency_ms.runs == 120
    assert result.load_ms is not None
    assert (result.load_ms.value, result.first_ms.value) == (pytest.approx(32.6257), 0.82)
    assert (result.warm_up_runs, result.stable, result.threads) == (240, True, 1)
    assert result.memory_source == "MemAvailable of the board"
    build, *others = recorded_trtexec.calls(tools)
    assert "--saveEngine=" in build
    load, *_, layers_call, first, second = others[-7:]
    assert ["--warmUp=0" in call for call in others[-7:]] == [True, False, False, False, False, True, True]
    assert "--loadInputs" not in load
    assert "--exportProfile=" in layers_call
    for call in (first, second):
        assert "--loadInputs=input:/" in call
        assert "--exportOutput=/" in call
    assert not (bundle / "engines").exists()


def answer(tools: Path, outputs: list[dict[str, object]] | str) -> None:
    """Let trtexec export this."""
    text = outputs if isinstance(outputs, str) else json.dumps(outputs)
    (tools / "answer").write_text(f"#!/bin/sh\nprintf '%s' '{text}'\n")
    (tools / "answer").chmod(0o755)


def test_outputs_are_parsed_from_trtexec(tools: Path, bundle: Path) -> None:
    program = recorded_trtexec.install(tools, "10.3")
    with Local().open() as workspace:
        runner = Runner(workspace, workspace.push(_SCRIPTS[0], *_SCRIPTS[1:]), "pruned", timeout_s=30)
        runner.load(str(bundle / "model.onnx"), threads=None, spinning=True, seed=0)
        sample = np.arange(64, dtype=np.float32).reshape(1, 1, 8, 8)
        # As C++ prints what is not finite, which is no JSON.
        answer(tools, '[ { "name" : "output", "dimensions" : "1x3", "values" : [ -nan, inf, -inf ] } ]')
        (outputs,) = runner.outputs(sample) or ()
        assert np.isnan(outputs[0, 0])
        assert outputs[0, 1:].tolist() == [np.inf, -np.inf]
        answer(tools, [{"name": "other", "dimensions": "1x1", "values": [1]}])
        assert runner.outputs(sample) is None  # which is it?
        for wrong in ("[", [{"name": "output", "dimensions": "1x2", "values": [1]}], [{"dimensions": "1x2"}]):
            answer(tools, wrong)
            with pytest.raises(DeviceError, match=r"outputs .*trtexec"):
                runner.outputs(sample)
        # They come in the order of the network, whatever that of the export is.
        one = 'echo "[11/21/2026-10:00:01] [I] Created output binding for output with dimensions 1x10"'
        text = program.read_text()
        assert one in text
        program.write_text(text.replace(one, one.replace("for output", "for second") + f"\n{one}"))
        runner.load(str(bundle / "model.onnx"), threads=None, spinning=True, seed=0)
        pair = [
            {"name": name, "dimensions": "1x1", "values": [value]} for name, value in (("output", 1), ("second", 2))
        ]
        answer(tools, pair)
        assert [output.tolist() for output in runner.outputs(sample) or ()] == [[[2]], [[1]]]
        runner.end()


def test_its_user_gets_the_largest_outputs_with_their_indices(tools: Path, bundle: Path) -> None:
    recorded_trtexec.install(tools, "10.3")
    np.save(bundle / "x.npy", np.zeros((2, 1, 8, 8), np.float32))
    answer(tools, [{"name": "output", "dimensions": "1x2x3", "values": [0, 1, 2, 5, 4, 3]}])
    done = run(bundle, "--input", str(bundle / "x.npy"), "--precision", "fp32", "--best", "3")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == [
        "output output, largest values as index: value",
        "sample 0  1, 0: 5  1, 1: 4  1, 2: 3",
        "sample 1  1, 0: 5  1, 1: 4  1, 2: 3",
    ]
    for content in (b"not an array", b""):
        (bundle / "x.npy").write_bytes(content)
        assert run(bundle, "--input", str(bundle / "x.npy")).returncode == 3
    assert run(bundle, "--input", str(bundle / "missing.npy")).returncode == 3


def test_engines_may_take_longer_than_other_answers(tools: Path, bundle: Path) -> None:
    program = recorded_trtexec.install(tools, "10.3")
    program.write_text(program.read_text().replace("--saveEngine) cat", "--saveEngine) sleep 3; cat"))
    how = {"threads": None, "spinning": True, "seed": 0}
    with Local().open() as workspace:
        script = workspace.push(_SCRIPTS[0], *_SCRIPTS[1:])
        patient, other = (Runner(workspace, script, "pruned", timeout_s=300) for _ in range(2))
        patient._timeout_s = other._timeout_s = 2  # not before they have started, which may take longer
        patient.load(str(bundle / "model.onnx"), **how, timeout_s=300)
        with pytest.raises(DeviceError, match=r"pruned.* 2 s"):
            other.load(str(bundle / "model.onnx"), **how)


def test_engine_and_layer_options_are_passed_on(tools: Path, bundle: Path, tmp_path: Path) -> None:
    recorded_trtexec.install(tools, "10.3")
    load = {"do": "load", "model": str(bundle / "model.onnx"), "spinning": False, "precision": "fp32"}
    commands = [{**load, "engines": str(tmp_path / "kept")}, {"do": "layers"}, {"do": "end"}]
    answers = [json.loads(line) for line in run(bundle, "--serve", stdin=lines(commands)).stdout.splitlines()]
    assert [answer["event"] for answer in answers] == ["ready", "loaded", "layers"]
    assert answers[1]["flags"] == ["--useCudaGraph"]
    assert (answers[2]["profile"], answers[2]["layers"]) == (recorded_trtexec.PROFILE, recorded_trtexec.LAYERS)
    assert (tmp_path / "kept/model.fp32.engine").is_file()
    again = [json.loads(line) for line in run(bundle, "--serve", stdin=lines(commands)).stdout.splitlines()]
    assert [answers[1]["built"], again[1]["built"]] == [True, False]


def test_fastest_precision_is_loaded_by_default(tools: Path, bundle: Path) -> None:
    recorded_trtexec.install(tools, "10.3")
    recorded_trtexec.compute_ms(tools, fp16=0.4)
    load = {"do": "load", "model": str(bundle / "model.onnx"), "spinning": True}
    commands = [{**load, "engines": str(bundle / "engines")}, {"do": "end"}]
    _, loaded = [json.loads(line) for line in run(bundle, "--serve", stdin=lines(commands)).stdout.splitlines()]
    assert (loaded["precision"], loaded["built"], loaded["first_ms"]) == ("fp16", True, pytest.approx(0.42))
    assert loaded["reason"].startswith("fp16 is faster than fp32 (ratio 0.52, ")
    _, again = [json.loads(line) for line in run(bundle, "--serve", stdin=lines(commands)).stdout.splitlines()]
    assert (again["precision"], again["built"], again["reason"]) == ("fp16", False, loaded["reason"])


def lines(commands: list[dict[str, object]]) -> str:
    return "".join(json.dumps(command) + "\n" for command in commands)


def test_failures_of_the_runner_are_errors(tools: Path, bundle: Path) -> None:
    recorded_trtexec.install(tools, "10.3")
    (tools / "times.fp32.json").write_text('[ { "latencyMs" : 0.8')
    with Local().open() as workspace:
        runner = Runner(workspace, workspace.push(_SCRIPTS[0]), "pruned", timeout_s=30)
        with pytest.raises(DeviceError, match=r"times .*trtexec"):
            runner.load(str(bundle / "model.onnx"), threads=None, spinning=True, seed=0)


def test_its_user_gets_percentiles_and_the_flags(tools: Path, bundle: Path) -> None:
    recorded_trtexec.install(tools, "10.3")
    recorded_trtexec.compute_ms(tools, fp32=1.6)
    done = run(bundle, "--layers", str(bundle / "layers.json"))
    assert done.returncode == 0
    expected = "p50 0.83 ms  p90 0.84 ms  p99 0.84 ms  120 runs  fp16  TensorRT 10.3.0  --useCudaGraph --useSpinWait\n"
    assert "fp16: fp16 is faster than fp32 (ratio 0.51, " in done.stderr
    assert "medians of 7 interleaved rounds: fp32 1.63 ms" in done.stderr
    assert done.stdout.split() == expected.split()
    assert json.loads((bundle / "layers.json").read_text())["profile"] == recorded_trtexec.PROFILE


def test_a_bundle_without_a_model_is_bad_input(tools: Path, bundle: Path) -> None:
    recorded_trtexec.install(tools, "10.3")
    (bundle / "model.onnx").unlink()
    done = run(bundle)
    assert (done.returncode, "model.onnx, model.int8.onnx" in done.stderr) == (3, True)


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this machine has what the test lacks"
)
def test_without_trtexec_onnx_runtime_takes_over_and_never_on_the_cpu(tools: Path, bundle: Path) -> None:
    done = run(bundle)
    assert done.returncode != 0
    assert "trtexec" in done.stderr
    assert "cannot start CUDAExecutionProvider" in done.stderr
    served = run(bundle, "--serve")
    assert (served.stdout, "cannot start CUDAExecutionProvider" in served.stderr) == ("", True)


def test_without_trtexec_onnx_runtime_runs_what_it_measures_to_be_faster(tools: Path, bundle: Path) -> None:
    runner = bundle / "onnxruntime_runner.py"
    runner.write_text(runner.read_text().replace("CUDAExecutionProvider", "CPUExecutionProvider"))
    write_network(bundle / "model.onnx", size=512)
    write_network(bundle / "model.fp16.onnx", size=1)
    done = run(bundle)
    assert (done.returncode, done.stdout[:4]) == (0, "p50 "), done.stderr
    assert "fp16: fp16 is faster than fp32 (ratio " in done.stderr
    (bundle / "model.onnx").write_text("broken")
    broken = run(bundle)
    assert (broken.returncode, "model.onnx: " in broken.stderr) == (5, True)


def write_network(path: Path, size: int) -> None:
    """One that takes the longer the larger it is."""
    value = partial(onnx.helper.make_tensor_value_info, elem_type=onnx.TensorProto.FLOAT, shape=[size, size])
    multiply = [onnx.helper.make_node("MatMul", [f"x{step}"] * 2, [f"x{step + 1}"]) for step in range(4)]
    graph = onnx.helper.make_graph(multiply, "network", [value("x0")], [value("x4")])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())


def test_missing_trtexec_and_onnxruntime_is_an_error(tools: Path, bundle: Path) -> None:
    (bundle / "onnxruntime_runner.py").unlink()
    done = run(bundle)
    assert done.returncode == 5
    assert all(name in done.stderr for name in ("trtexec", str(bundle / "onnxruntime_runner.py")))
