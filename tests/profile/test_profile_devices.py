"""``ep.profile`` and the command: bundles and bare models, one device and many, and every way it ends."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import edgeprune as ep
from edgeprune.backends.onnxruntime.onnxruntime_backend import OnnxRuntime
from edgeprune.bundle import verification
from edgeprune.bundle.manifest import FileEntry, Manifest
from edgeprune.bundle.measurements import Measurements
from edgeprune.cli import run
from edgeprune.devices import device
from edgeprune.errors import BundleError, DeviceError, InputError, MeasurementError
from edgeprune.files import sha256
from edgeprune.profile import Profile, profile_fleet
from edgeprune.profile.golden_samples import Golden
from edgeprune.profile.workload import load_workload
from tests.devices import sshd

_QUICK = {"runs": 6, "blocks": 2, "block_s": 0, "warmup": 1, "threads": 1, "noise": 100.0, "retries": 0}
_FLAGS = ["--runs", "6", "--blocks", "2", "--warmup", "1", "--threads", "1", "--noise", "100", "--retries", "0"]


@pytest.fixture(scope="module")
def built(digits_bundle: Callable[..., Path]) -> Path:
    """The bundle of the digits network, not trained."""
    return digits_bundle("raspberry-pi-4", {"training.epochs": 0})


@pytest.fixture
def bundle(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "bundle"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Server]:
    if not (Path(sshd.SERVER).is_file() and shutil.which("ssh")):
        pytest.skip("needs sshd and ssh: scripts/system installs them")
    with sshd.server(tmp_path_factory.mktemp("sshd")) as running:
        yield running


def test_bundle_has_golden_samples(bundle: Path) -> None:
    expected = Golden.load(bundle / "golden.npz")
    assert expected.inputs.shape == (4, 1, 8, 8)
    assert [output.shape for output in expected.outputs] == [(4, 10)]
    assert expected.tolerance == 1e-3
    assert "golden.npz" in Manifest.load(bundle).files


def test_bundle_is_profiled_with_the_runner_in_the_bundle_and_compared(bundle: Path) -> None:
    result = ep.profile(bundle, **_QUICK)
    (model,) = result.models.values()
    assert model.sha256 == sha256(bundle / "model.onnx")
    assert result.validity is not None
    assert result.validity.golden["pruned"].max_error is not None
    assert result.validity.golden["pruned"].max_error < 1e-4
    assert result.settings["seed"] == 0


@pytest.mark.long
def test_profiling_a_bundle_keeps_the_dense_network_of_the_build(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    built = Profile.from_json((bundle / "profile.json").read_text())
    capsys.readouterr()
    assert run(["profile", str(bundle), *_FLAGS, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    now = Profile.from_json((bundle / "profile.json").read_text())
    assert list(now.models) == ["pruned"]
    assert now.reference == built
    assert next(iter(built.models)) == "dense"
    assert values["target"] == "raspberry-pi-4"
    assert values["measured_on_target"] == (now.device["machine"] == "aarch64")
    assert values["measured_on"].startswith("this machine")
    if not values["measured_on_target"]:
        page = (bundle / "report.html").read_text()
        tiles = page.partition('class="tiles"')[2].partition("</ul>")[0]
        assert "latency" not in tiles
        assert "this machine" in page
    assert run(["profile", str(bundle), *_FLAGS]) == 0
    assert "Dense network, measured earlier on this machine" in capsys.readouterr().out
    assert Profile.from_json((bundle / "profile.json").read_text()).reference == built


@pytest.mark.long
def test_profile_and_report_of_an_archive_are_written_next_to_it(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = Path(shutil.copy(built.with_name(f"{built.name}.tar.gz"), tmp_path))
    before = archive.read_bytes()
    capsys.readouterr()
    assert run(["profile", str(archive), *_FLAGS]) == 0
    written = tmp_path / "digits-raspberry-pi-4-profile.json"
    assert str(written) in capsys.readouterr().out
    assert list(Profile.from_json(written.read_text()).models) == ["pruned"]
    assert run(["report", str(archive), "--json"]) == 0
    report = tmp_path / "digits-raspberry-pi-4-report.html"
    assert json.loads(capsys.readouterr().out)["report"] == str(report)
    assert report.read_text().startswith("<!doctype html>")
    assert list(ep.profile(archive, **_QUICK).models) == ["pruned"]
    assert archive.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {archive.name, written.name, report.name}
    archive.write_bytes(before[:-300] + b"0" * 300)
    for command in ("profile", "report"):
        assert run([command, str(archive)]) == 3
    assert written.is_file()


@pytest.mark.long
def test_models_are_measured_interleaved_with_a_baseline(bundle: Path, shared_data: Path) -> None:
    model = Path(shutil.copy(bundle / "model.onnx", bundle.parent / "other.onnx"))
    result = ep.profile(model, "local:", baseline=bundle / "model.onnx", **_QUICK)
    assert list(result.models) == ["dense", "other"]
    assert result.ratios["other"].low <= result.ratios["other"].value <= result.ratios["other"].high
    lite = shared_data / "models" / "mlperf_tiny_ad01_int8.tflite"
    result = ep.profile(str(lite), **_QUICK)
    assert (result.device["runtime"], list(result.models)) == ("ai-edge-litert", ["mlperf_tiny_ad01_int8"])
    assert result.models["mlperf_tiny_ad01_int8"].layers is None  # LiteRT's Python does not tell
    with pytest.raises(InputError, match=rf"{model.name}.*{lite.name}"):
        load_workload(lite, model)
    with pytest.raises(InputError, match="'base'"):
        load_workload(Path(shutil.copy(model, bundle.parent / "base.onnx")), bundle)


@pytest.mark.long
def test_bundle_is_measured_interleaved_with_a_baseline(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ships = Path(shutil.copytree(bundle, tmp_path / "ships"))
    wrong_answers(ships)  # which may be why there is a new one
    assert run(["profile", str(bundle), "--baseline", str(ships), *_FLAGS]) == 0
    assert "pruned takes " in capsys.readouterr().out
    stored = Profile.from_json((bundle / "profile.json").read_text())
    assert list(stored.models) == ["base", "pruned"]
    assert stored.models["base"].sha256 == sha256(ships / "model.onnx")
    assert "over base" in (bundle / "report.html").read_text()
    assert run(["compare", str(ships), str(bundle), "--fail-on", "macs:+1%"]) == 0
    assert "Base and new were measured in alternating blocks on local:." in capsys.readouterr().out
    assert verification.verify(bundle)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda bundle: (bundle / "run.py").write_text("import os\n"), r"run\.py"),
        (lambda bundle: (bundle / "numpy.py").write_text("import os\n"), r"numpy\.py"),
        (lambda bundle: (bundle / "model.onnx").unlink(), r"model\.onnx"),
        (lambda bundle: (bundle / "manifest.json").write_text("{"), r"manifest\.json.*JSON"),
        (lambda bundle: (bundle / "manifest.json").unlink(), rf"manifest\.json.*{os.strerror(errno.ENOENT)}"),
    ],
    ids=["changed", "extra", "gone", "damaged", "none"],
)
def test_damaged_bundle_is_not_run(bundle: Path, spoil: object, reason: str) -> None:
    spoil(bundle)
    with pytest.raises(BundleError, match=reason) as raised:
        ep.profile(bundle)
    assert raised.value.exit_code == 3


def test_path_without_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_text("")
    for path in (tmp_path / "x.bin", tmp_path / "none.onnx"):
        with pytest.raises(InputError):
            ep.profile(path)


def account_for(bundle: Path, name: str) -> None:
    """Have the bundle say that a file was so from the beginning."""
    manifest = Manifest.load(bundle)
    entry = FileEntry(sha256=sha256(bundle / name), bytes=(bundle / name).stat().st_size)
    manifest = manifest.model_copy(update={"files": {**manifest.files, name: entry}})
    (bundle / "manifest.json").write_text(manifest.to_json())
    measured = Measurements.load(bundle).model_copy(update={"manifest": sha256(bundle / "manifest.json")})
    (bundle / "measured.json").write_text(measured.to_json())


def wrong_answers(bundle: Path) -> None:
    """Have the bundle expect something else, and its manifest say so."""
    expected = Golden.load(bundle / "golden.npz")
    Golden(expected.inputs, tuple(output + 1 for output in expected.outputs), 1e-3).save(bundle / "golden.npz")
    account_for(bundle, "golden.npz")


@pytest.mark.long
def test_wrong_outputs_make_a_profile_invalid(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong_answers(bundle)
    before = (bundle / "profile.json").read_bytes()
    with pytest.raises(MeasurementError, match=r"local:.*outputs of pruned") as raised:
        ep.profile(bundle, **_QUICK)
    assert raised.value.exit_code == 6
    assert run(["profile", str(bundle), *_FLAGS]) == 6
    assert "local:" in capsys.readouterr().err
    assert (bundle / "profile.json").read_bytes() == before
    output = bundle.parent / "invalid.json"
    assert run(["profile", str(bundle), *_FLAGS, "--output", str(output)]) == 6
    stored = Profile.from_json(output.read_text())
    assert stored.validity is not None
    assert not stored.validity.valid


@pytest.mark.long
def test_noise_above_the_limit_makes_a_profile_invalid(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # The medians of two blocks are the same now and then, to what the clock tells; those of ten never are.
    arguments = ["profile", str(bundle), *_FLAGS, "--blocks", "10", "--noise", "0", "--retries", "1"]
    assert run(arguments) == 6
    printed = capsys.readouterr()
    assert "(measured 2 times): pruned is too noisy" in printed.err
    assert "Not valid: pruned is too noisy" in printed.out


@pytest.mark.long
def test_the_command_writes_into_the_bundle_and_draws(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--png", str(tmp_path / "a" / "latency.png"), "--trace", str(tmp_path / "trace.json")]
    assert run(["profile", str(bundle), *_FLAGS, *more]) == 0
    printed = capsys.readouterr().out
    for text in ("local: (", "latency p99", "first inference", "peak memory", "golden samples", "Valid"):
        assert text in printed
    stored = Profile.from_json((bundle / "profile.json").read_text())
    assert stored.validity is not None
    assert stored.validity.valid
    entry = Measurements.load(bundle).files["profile.json"]
    assert entry.sha256 == sha256(bundle / "profile.json")
    assert Measurements.load(bundle).files["report.html"].sha256 == sha256(bundle / "report.html")
    assert (tmp_path / "a" / "latency.png").read_bytes().startswith(b"\x89PNG")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    inferences = [event for event in events if event["ph"] == "X" and "block" in event["args"]]
    assert len(inferences) == stored.models["pruned"].latency_ms.runs
    assert sum(event["dur"] for event in inferences) == pytest.approx(
        1e3 * sum(map(sum, stored.models["pruned"].blocks_ms))
    )
    assert {"Gemm"} <= {event["args"].get("kind") for event in events}
    assert verification.verify(bundle).measured == ("profile.json", "report.html")
    assert run(["profile", str(bundle), *_FLAGS, "--device", "local:", "--device", "emulator:microcontroller"]) == 3
    assert (bundle / "profile-local.json").is_file()
    assert verification.verify(bundle)


@pytest.mark.long
def test_json_alone_is_on_stdout(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "found" / "p.json"
    assert run(["profile", str(bundle / "model.onnx"), *_FLAGS, "--output", str(output), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["device"], values["file"], values["error"]) == ("local:", str(output), None)
    assert values["profile"] == json.loads(output.read_text())
    assert values["profile"]["validity"]["valid"]


def test_invalid_options_are_refused_before_measuring(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(bundle / "model.onnx")
    assert run(["profile", model, "--device", "ssh:/x"]) == 3
    assert run(["profile", model, "--device", "kitchen"]) == 3
    assert run(["profile", model, "--output", str(bundle)]) == 2
    assert run(["profile", model, "--png", f"{model}/x.png"]) == 2
    assert run(["profile", model, "--threads", "0"]) == 2
    assert run(["profile", str(bundle / "none")]) == 3
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.long
def test_bundle_is_profiled_over_ssh(bundle: Path, server: sshd.Server) -> None:
    odd = Path(shutil.copytree(bundle, bundle.parent / 'it\'s a "bundle" $HOME'))
    result = ep.profile(odd, server.uri(), **_QUICK)
    assert result.device["uri"].startswith("ssh://")
    assert "ssh_config" not in result.device["uri"]
    model = result.models["pruned"]
    assert model.latency_ms.kind == "measured"
    assert model.peak_memory_bytes is not None
    assert model.layers
    assert result.environment is not None
    assert result.validity is not None
    assert result.validity.golden["pruned"].top1_agreement == 1
    assert server.is_clean()


@pytest.mark.long
def test_missing_runtime_is_an_error_with_the_install_command(
    bundle: Path, server: sshd.Server, capsys: pytest.CaptureFixture[str]
) -> None:
    without = server.uri(python=f"{sys.executable} -I -S")
    assert run(["profile", str(bundle), *_FLAGS, "--device", without]) == 5
    output = capsys.readouterr().err
    assert f"ONNX Runtime is not installed (No module named 'numpy'): run {sys.executable} -m pip install" in output
    assert "'numpy>=1.21' 'onnxruntime>=1.12'" in output
    assert server.is_clean()


@pytest.mark.long
def test_stopped_runner_times_out_and_is_killed(
    bundle: Path, server: sshd.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeprune.devices.subprocess_channel._END_S", 2)
    stopped = threading.Event()

    def stop() -> None:
        while not stopped.wait(0.01):
            runners = [pid for pid in server.programs() if b"run.py" in sshd.argv(pid)]
            for pid in runners:
                with contextlib.suppress(ProcessLookupError):  # of the login shell, which has its own to start first
                    os.kill(pid, signal.SIGSTOP)
            if len(runners) > 1:  # and the shell that waits for it
                return

    watcher = threading.Thread(target=stop)
    watcher.start()
    try:
        with pytest.raises(DeviceError, match=r"pruned: .* 10 s"):
            ep.profile(bundle, server.uri(), **_QUICK | {"runs": 10**9}, timeout_s=10)
    finally:
        stopped.set()
        watcher.join()
    assert server.is_clean()


def kill_when_it_runs(server: sshd.Server, *, listener: bool) -> threading.Thread:
    """Kill the server's processes once a runner runs."""

    def kill() -> None:
        end = time.monotonic() + 300
        while not any(b"run.py" in sshd.argv(pid) for pid in server.programs()):
            time.sleep(0.005)
            if time.monotonic() > end:
                return
        server.kill(listener=listener)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    return thread


@pytest.mark.long
def test_a_dropped_line_is_tried_again(bundle: Path, tmp_path: Path, server: sshd.Server) -> None:
    with sshd.server(tmp_path / "own") as own:
        killer = kill_when_it_runs(own, listener=False)
        result = ep.profile(bundle, own.uri(), **_QUICK)
        killer.join()
        assert result.validity is not None
        assert result.validity.valid
        assert own.is_clean()


@pytest.mark.long
def test_lost_device_is_an_error(
    bundle: Path,
    tmp_path: Path,
    server: sshd.Server,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edgeprune.profile.profile_devices._RETRY_DELAY_S", 0.1)
    with sshd.server(tmp_path / "own") as own:
        killer = kill_when_it_runs(own, listener=True)
        assert run(["profile", str(bundle), *_FLAGS, "--runs", str(10**9), "--device", own.uri()]) == 5
        killer.join()
        output = capsys.readouterr().err
        assert "was lost, and 2 more attempts failed: cannot reach ssh://" in output
        assert "Connection refused" in output
        assert own.is_clean()


@pytest.mark.long
@pytest.mark.parametrize("count", [1, 2], ids=["one", "fleet"])
def test_ctrl_c_leaves_nothing_on_the_device(bundle: Path, server: sshd.Server, count: int) -> None:
    names = [server.uri(python=f"{sys.executable} {'-E ' * index}".strip()) for index in range(count)]
    inputs = [part for name in names for part in ("--device", name)]
    # What a shell starts in the background ignores Ctrl-C, and so does all that it starts: tests may be that.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import edgeprune.cli as c; c.main()"
    )
    argv = [sys.executable, "-c", code, "profile", str(bundle), *inputs, "--runs", "1000000000"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
        try:
            while (
                sum(b"--serve" in sshd.argv(pid) and b"run.py" in sshd.argv(pid) for pid in server.programs()) < count
            ):
                assert process.poll() is None
                time.sleep(0.01)
            os.killpg(process.pid, signal.SIGINT)
            _, output = process.communicate(timeout=600)
        finally:
            process.kill()
    assert process.returncode == 130
    assert b"interrupted" in output
    assert b"stages" not in output  # only a build has them
    assert b"Traceback" not in output
    assert server.is_clean()


def test_invalid_output_of_the_runner_is_an_error(bundle: Path, server: sshd.Server) -> None:
    (bundle / "run.py").write_text("print('\\x00\\x01 Segmentation fault')\n")
    account_for(bundle, "run.py")
    with pytest.raises(DeviceError, match=r"JSON: .*Segmentation fault"):
        ep.profile(bundle, server.uri(), **_QUICK)
    assert server.is_clean()


@pytest.mark.long
def test_a_fleet_is_measured_at_once_and_one_that_fails_stops_no_other(
    bundle: Path, server: sshd.Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "results"
    dead = "ssh://127.0.0.1:1"
    names = ["local:", server.uri(), server.uri(python=f"{sys.executable} -E"), dead]
    inputs = [part for name in names for part in ("--device", name)]
    assert run(["profile", str(bundle), *_FLAGS, *inputs, "--output", str(folder), "--json"]) == 5
    printed = capsys.readouterr()
    values = json.loads(printed.out)
    assert [one["device"] for one in values] == names
    assert [one["error"] is None for one in values] == [True, True, True, False]
    assert f"error: {dead}: cannot reach {dead}" in printed.err
    written = [Path(one["file"]) for one in values[:3]]
    assert len(set(written)) == 3
    for path in written:
        assert Profile.from_json(path.read_text()).models
    assert sorted(folder.iterdir()) == sorted(written)
    assert server.is_clean()


@pytest.mark.long
def test_devices_of_one_machine_are_measured_one_after_another(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeprune.profile import interleaved_bench

    together, most = 0, 0
    measure = interleaved_bench.InterleavedBench.measure

    def watched(self: interleaved_bench.InterleavedBench, *arguments: object) -> Profile:
        nonlocal together, most
        together += 1
        most = max(most, together)
        try:
            return measure(self, *arguments)
        finally:
            together -= 1

    monkeypatch.setattr(interleaved_bench.InterleavedBench, "measure", watched)
    monkeypatch.setattr("edgeprune.profile.profile_devices.known.device", lambda name: device("local:"))
    outcomes = profile_fleet(load_workload(bundle), ["a", "b", "c"], **_QUICK)
    assert [outcome.error for outcome in outcomes] == [None] * 3
    assert most == 1


@pytest.mark.long
def test_older_bundle_is_profiled_without_newer_features(bundle: Path) -> None:
    """Its runner does not name its commands: layers and outputs are not asked for."""
    code = OnnxRuntime.runner.contents[0].replace(", commands=list(commands)", "")
    (bundle / "run.py").write_text(code)
    account_for(bundle, "run.py")
    result = ep.profile(bundle, **_QUICK)
    assert result.models["pruned"].layers is None
    assert result.validity is not None
    assert result.validity.golden == {}


def test_profile_is_a_package_and_a_function() -> None:
    code = (
        "import edgeprune.profile\nimport edgeprune as ep\nfrom edgeprune.profile import profile\n"
        "assert callable(ep.profile)\n"
        "try:\n    ep.profile('none.onnx')\nexcept ep.errors.InputError as error:\n"
        "    assert 'none.onnx' in str(error)\nelse:\n    raise SystemExit(1)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_images_that_a_tflite_file_has_last_are_compared_in_their_order() -> None:
    maps = np.random.default_rng(0).standard_normal((2, 3, 4, 4)).astype(np.float32)
    expected = Golden(np.zeros((2, 1), np.float32), (maps,), 1e-3)
    assert expected.compare([maps.transpose(0, 2, 3, 1)]).max_error == 0
    assert expected.compare([maps[:, ::-1]]).max_error > 1e-3
