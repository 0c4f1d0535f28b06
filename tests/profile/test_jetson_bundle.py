"""A bundle built for a Jetson works from where it lies, on recorded output of TensorRT (see ``recorded_trtexec``)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import edgeprune as ep
from edgeprune.bundle.manifest import Manifest
from edgeprune.errors import MeasurementError
from edgeprune.profile import profile_fleet
from edgeprune.profile.golden_samples import Golden
from edgeprune.profile.workload import load_workload
from tests.profile import recorded_trtexec

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def built(digits_bundle: Callable[..., Path]) -> Path:
    """The embedded example, not trained."""
    return digits_bundle("jetson-orin-nano", {"training.epochs": 0, "quantize.max_accuracy_drop": 0.2})


@pytest.fixture
def bundle(built: Path, tmp_path: Path) -> Path:
    """A copy, as on the board."""
    return Path(shutil.copytree(built, tmp_path / "bundle"))


def on_board(bundle: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, *arguments]
    return subprocess.run(argv, cwd=bundle, capture_output=True, text=True, check=False, timeout=600)


def test_bundle_has_scripts_and_every_accurate_precision(built: Path) -> None:
    manifest = Manifest.load(built)
    assert set(manifest.files) == {
        "run.py", "build_engine.py", "onnxruntime_runner.py", "plan.json",
        "model.onnx", "model.fp16.onnx", "model.int8.onnx", "model.int8-fp16.onnx", "weights.safetensors",
        "report.json", "golden.npz", "evaluation.json", "sbom.json",
    }  # fmt: skip
    assert manifest.precision is not None
    assert (manifest.precision.shipped, manifest.precision.other_precisions) == ("int8", ("float32", "float16"))
    assert all(f"{name}: " in manifest.precision.reason for name in ("float32", "float16", "int8"))


@pytest.mark.parametrize(
    ("release", "files"),
    [
        ("8.5", ["model.onnx", "model.onnx", "model.int8.onnx"]),
        ("10.3", ["model.onnx", "model.onnx", "model.int8.onnx"]),
        ("11.4", ["model.onnx", "model.fp16.onnx", "model.int8-fp16.onnx"]),
    ],
)
def test_its_runner_builds_every_form_and_runs_the_fastest(
    bundle: Path, tools: Path, release: str, files: list[str]
) -> None:
    recorded_trtexec.install(tools, release)
    recorded_trtexec.compute_ms(tools, fp32=1.2, fp16=0.7, int8=0.4)
    compute_outputs(tools, bundle)
    first = on_board(bundle, "run.py", "--duration", "1")
    assert first.returncode == 0, first.stderr
    assert "int8: fp16 is faster than fp32 (ratio 0.59, " in first.stderr
    assert "int8 is faster than fp16 (ratio 0.59, " in first.stderr
    assert first.stdout.split()[:2] == ["p50", "0.43"]
    assert "  int8  TensorRT " in first.stdout
    builds = [call for call in recorded_trtexec.calls(tools) if "--saveEngine" in call]
    assert [Path(call.split()[0]).name for call in builds] == files
    assert json.loads((bundle / "engines/model.choice.json").read_text())["precision"] == "int8"
    before = len(recorded_trtexec.calls(tools))
    assert on_board(bundle, "run.py", "--duration", "1").stdout == first.stdout
    assert len(recorded_trtexec.calls(tools)) == before + 1 + 4  # one for each sample of golden.npz
    engine = on_board(bundle, "build_engine.py")
    assert (engine.returncode, engine.stdout) == (0, f"{bundle}/engines/model.int8.engine\n")


def test_its_runner_prints_and_checks_the_outputs_for_golden_samples(bundle: Path, tools: Path) -> None:
    recorded_trtexec.install(tools, "10.3")
    golden = Golden.load(bundle / "golden.npz")
    for precision in ("fp32", "fp16", "int8"):
        compute_outputs(tools, bundle)
        good = on_board(bundle, "run.py", "--precision", precision, "--duration", "1", "--best", "2")
        assert good.returncode == 0, good.stderr
        _, heading, *samples, verdict = good.stdout.splitlines()
        assert heading == "output output, largest values as index: value"
        expected = golden.of(precision.replace("fp", "float"))
        for number, (line, scores) in enumerate(zip(samples, expected.outputs[0], strict=True)):
            label, *pairs = line.split("  ")
            assert label == f"sample {number}"
            assert [int(pair.split(":")[0]) for pair in pairs] == np.argsort(scores)[::-1][:2].tolist()
        assert verdict.startswith("outputs are as expected: relative error ")
        assert verdict.endswith(f"allowed {expected.tolerance:.2g}")
        compute_outputs(tools, bundle, factor=1.5)
        wrong = on_board(bundle, "run.py", "--precision", precision, "--duration", "1")
        assert (wrong.returncode, "relative error 0.5" in wrong.stderr) == (1, True)


def test_a_precision_can_be_forced(bundle: Path, tools: Path) -> None:
    recorded_trtexec.install(tools, "10.3")
    compute_outputs(tools, bundle)
    forced = on_board(bundle, "run.py", "--precision", "fp16", "--duration", "1")
    assert "  fp16  TensorRT 10.3.0" in forced.stdout
    assert [path.name for path in (bundle / "engines").glob("*.engine")] == ["model.fp16.engine"]


_ANSWER = """#!{python}
import json, sys
import numpy as np, onnxruntime
precision, _, file = sys.argv[1], *sys.argv[2].split(":")
name = "model.int8.onnx" if precision == "int8" else "model.onnx"
session = onnxruntime.InferenceSession("{bundle}/" + name, providers=["CPUExecutionProvider"])
(scores,) = session.run(None, {{"input": np.fromfile(file, np.float32).reshape(1, 1, 8, 8)}})
values = {factor} * scores.ravel()
print(json.dumps([{{"name": "output", "dimensions": "1x10", "values": values.tolist()}}]))
"""


def compute_outputs(tools: Path, bundle: Path, factor: float = 1.0) -> None:
    """Let the stand-in for trtexec compute outputs with ONNX Runtime, from the raw sample that it is given."""
    (tools / "answer").write_text(_ANSWER.format(python=sys.executable, bundle=bundle, factor=factor))
    (tools / "answer").chmod(0o755)


@pytest.mark.parametrize(("fastest", "tolerance"), [("fp32", 0.01), ("fp16", 0.01), ("int8", 0.1)])
def test_engine_outputs_are_compared_with_the_model_of_the_same_precision(
    bundle: Path, tools: Path, fastest: str, tolerance: float
) -> None:
    recorded_trtexec.install(tools, "10.3")
    recorded_trtexec.compute_ms(tools, **{fastest: 0.3})

    def profiled(factor: float) -> ep.Profile:
        compute_outputs(tools, bundle, factor)
        return ep.profile(bundle, "local:", runs=2, blocks=1, block_s=0, warmup=0, noise=None, retries=0)

    result = profiled(1.0)
    assert result.validity is not None
    (check,) = result.validity.golden.values()
    assert (check.samples, check.tolerance, check.top1_agreement) == (4, tolerance, 1)
    with pytest.raises(MeasurementError, match=rf"0.5.*{tolerance:g}"):
        profiled(1.5)


def test_engines_of_the_baseline_are_built_from_all_its_forms_too(bundle: Path, tools: Path, tmp_path: Path) -> None:
    recorded_trtexec.install(tools, "10.3")
    recorded_trtexec.compute_ms(tools, fp32=1.2, fp16=0.7, int8=0.4)
    ships = Path(shutil.copytree(bundle, tmp_path / "ships"))
    result = load_workload(bundle, ships)
    (result,) = profile_fleet(replace(result, golden={}), ["local:"], runs=2, blocks=2, block_s=0, warmup=0, noise=None)
    assert result.profile is not None, result.error
    assert list(result.profile.models) == ["base", "int8"]
    builds = [call for call in recorded_trtexec.calls(tools) if "--saveEngine" in call]
    assert [Path(call.split()[0]).name for call in builds] == 2 * ["model.onnx", "model.onnx", "model.int8.onnx"]


def test_engine_builds_have_a_longer_timeout(built: Path) -> None:
    conditions = load_workload(built).conditions
    assert conditions.load_s > 60 * 60 > conditions.timeout_s
