"""The wording of error messages, compared with ``tests/messages.json``.

Other tests assert the class of an error and the names and values in its message. To accept a changed wording, run
``UPDATE_MESSAGES=1 pytest tests/test_messages.py`` and review the changes of the file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import edgeprune
from edgeprune import backends, criteria, overwrite_guard, schedules, selection
from edgeprune.backends.c.code_files import generate
from edgeprune.backends.tensorrt.nvpmodel import read_nvpmodel
from edgeprune.backends.tflm.linting import board_limits
from edgeprune.bundle import bundle_paths, bundle_reader
from edgeprune.bundle.manifest import Manifest
from edgeprune.bundle.replacement_check import check_replaceable
from edgeprune.bundle.report_data import ReportData
from edgeprune.bundle.verification import verify
from edgeprune.cli import run
from edgeprune.config import Budget, Recipe, Target, TrainingSettings
from edgeprune.cost.latency_table import LatencyTable
from edgeprune.devices import device
from edgeprune.errors import EdgePruneError
from edgeprune.export import onnx_loading, parity
from edgeprune.export.onnx_export import export
from edgeprune.export.preflight import preflight
from edgeprune.graph import capture
from edgeprune.model import data, network, weights
from edgeprune.model.data import Data
from edgeprune.model.splits import TensorSplit
from edgeprune.model.user_objects import load_object
from edgeprune.pipeline.build_settings import demanded_precision
from edgeprune.pipeline.lock_file import Lock
from edgeprune.profile import Profile, calibration_checks
from edgeprune.profile.workload import load_workload
from edgeprune.quantize.precision_choice import PrecisionCandidate, PrecisionInputs, decide
from edgeprune.repair.repair_methods import chosen_repairs
from edgeprune.report.regression_limits import RegressionLimit
from edgeprune.statistics.sample_batches import Samples
from edgeprune.tflite.conversion.onnx_to_tflite import convert
from edgeprune.tflite.tflite_loading import load_file
from edgeprune.training.objective import Objective
from edgeprune.training.step_plan import StepPlan
from tests.networks.collection import make
from tests.tflite.tflite_files import File

_SNAPSHOT = Path(__file__).with_name("messages.json")
_MINIMAL = "name = 'r'\nmodel = {factory = 'net.py:make', input = [1, 1, 2, 2]}\ndata = {function = 'data.py:data'}\n"


def _file(folder: Path, name: str, content: str) -> Path:
    (folder / name).write_text(content, encoding="utf-8")
    return folder / name


def _generated(folder: Path, kind: str) -> None:
    file, path = File(), folder / "model.tflite"
    x, y = file.tensor("x", (1, 4)), file.tensor("y", (1, 4))
    file.op(kind, [x], [y])
    path.write_bytes(file.content([x], [y]))
    generate(path)


def _digits(**changes: object) -> Recipe:
    return Recipe.load("digits").override({key.replace("__", "."): value for key, value in changes.items()})


def _prune(**budget: float) -> None:
    network, example = make("flatten-into-linear")
    edgeprune.prune(network, example, budget=budget)


def _pruned(**options: Any) -> None:
    model, example = make("flatten-into-linear")
    edgeprune.prune(model, example, budget={"macs": 0.5}, options=options)


def _board(**tables: object) -> Target:
    return Target.parse({"name": "board", **tables}, where="board.toml")


def _onnx(folder: Path, kind: str, name: str = "model.onnx") -> Path:
    """Write an ONNX file with one node."""
    value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, 3]) for name in "xy"]
    node = onnx.helper.make_node(kind, ["x"], ["y"], name="/body/node")
    graph = onnx.helper.make_graph([node], "graph", value[:1], value[1:])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]), folder / name)
    return folder / name


def _split(*labels: int) -> TensorSplit:
    return TensorSplit(torch.zeros(len(labels), 4), torch.tensor(labels, dtype=torch.int64))


def _saved(folder: Path, model: nn.Module) -> Path:
    weights.save(model.state_dict(), folder / "net.safetensors")
    return folder / "net.safetensors"


def _plan_of_another_network() -> None:
    model, example = make("flatten-into-linear")
    edgeprune.prune(model, example, budget={"macs": 0.9}).plan.check(nn.Linear(4, 2))


def _optimizer_of_another_network() -> None:
    model, example = make("flatten-into-linear")
    optimizer = torch.optim.SGD(nn.Linear(4, 2).parameters())
    edgeprune.prune(model, example, budget={"macs": 0.5}, copy=False, optimizer=optimizer)


class _NoTensor(nn.Module):
    def forward(self, x: torch.Tensor) -> float:
        return 1.0


_ACCURATE = PrecisionCandidate(0.9, 1000)

_CASES: dict[str, Callable[[Path], object]] = {
    "unknown recipe": lambda folder: Recipe.load("digit"),
    "recipe without a budget": lambda folder: Recipe.load(_file(folder, "recipe.toml", _MINIMAL)),
    "broken TOML": lambda folder: Recipe.load(_file(folder, "recipe.toml", "name = \n")),
    "unknown setting": lambda folder: _digits(prune__criterions="l2"),
    "setting out of range": lambda folder: _digits(training__epochs=-1),
    "invalid budget": lambda folder: _digits(budget__macs=0),
    "mistyped budget": lambda folder: _digits(budget__macs="2%%"),
    "unknown repair": lambda folder: _digits(prune__repair=["biases"]),
    "unknown target": lambda folder: Target.load("rasberry-pi"),
    "unknown runtime": lambda folder: Target.load("host").with_runtime("tflite"),
    "unknown criterion": lambda folder: criteria.create("l3"),
    "criterion without data": lambda folder: criteria.create("fisher"),
    "unknown option": lambda folder: criteria.create("l2", {"power": 3}),
    "unknown selection": lambda folder: selection.create("greedy"),
    "unknown schedule": lambda folder: schedules.create("twice"),
    "unreachable budget": lambda folder: _prune(macs=0.001),
    "wrong input shape": lambda folder: capture(nn.Linear(4, 2), (torch.ones(2, 3),)),
    "missing weights": lambda folder: weights.load_into(nn.Linear(4, 2), folder / "none.safetensors"),
    "ONNX file without a file": lambda folder: network.load_model("net.onnx", None, base=folder),
    "ONNX file without weights": lambda folder: edgeprune.load_onnx(_onnx(folder, "Relu")),
    "ONNX file with an unknown operator": lambda folder: edgeprune.load_onnx(_onnx(folder, "Det")),
    "missing factory file": lambda folder: load_object("net.py:make", base=folder),
    "missing factory": lambda folder: load_object(_file(folder, "net.py", "a = 1\n").name + ":make", base=folder),
    "missing manifest": Manifest.load,
    "missing bundle": lambda folder: verify(folder / "dist"),
    "invalid profile": lambda folder: Profile.from_json("{}", where="profile.json"),
    "damaged TFLite file": lambda folder: load_file(_file(folder, "model.tflite", "damaged")),
    "TFLite operator without C code": lambda folder: _generated(folder, "L2_NORMALIZATION"),
    "damaged plan": lambda folder: edgeprune.Plan.load(_file(folder, "plan.json", "{")),
    "unknown device": lambda folder: device("kitchen"),
    "empty budget": lambda folder: Budget.parse({}),
    "ambiguous limit": lambda folder: Budget.parse({"latency_ms": 1}),
    "invalid accuracy limit": lambda folder: _digits(budget__accuracy="high"),
    "limits of an unknown target": lambda folder: _digits(budget__targets={"rpi9": {"macs": 0.5}}).budget.check_targets(
        Target.is_known, Target.names()
    ),
    "estimated cost that must be measured": lambda folder: _digits(
        budget__latency_ms=0.5, budget__require="measured"
    ).budget.check_evidence(),
    "unset variable": lambda folder: _digits(data__dir="${EDGEPRUNE_UNSET}/data").data_dir,
    "recipe that is not text": lambda folder: Recipe.load(_file(folder, "recipe.toml", "\ufeffname = 'r'")),
    "target without a latency table": lambda folder: _board().require_latency_table(),
    "invalid range of versions": lambda folder: _board(runtime={"versions": "new"}),
    "unknown backend": lambda folder: backends.for_target(_board(runtime={"name": "litrt"})),
    "unknown model format": lambda folder: backends.for_file(folder / "model.pte"),
    "runtime without options": lambda folder: backends.for_target(_board(runtime={"options": {"cores": 2}})),
    "board without memory limits": lambda folder: backends.for_target(_board(runtime={"name": "tflm"})),
    "linted target without a microcontroller": lambda folder: board_limits.named(["host"]),
    "unknown power mode": lambda folder: read_nvpmodel("command not found"),
    "unknown device scheme": lambda folder: device("telnet://board"),
    "unknown device option": lambda folder: device("serial:/dev/ttyACM0?speed=1"),
    "device without a port": lambda folder: device("serial:"),
    "invalid address": lambda folder: device("ssh:board"),
    "missing emulator": lambda folder: device("emulator:raspberry-pi-4"),
    "unknown emulator": lambda folder: device("emulator:pi"),
    "missing serial port": lambda folder: device("serial:/dev/none").open().__enter__().converse([]),
    "profiled file of another format": lambda folder: load_workload(_file(folder, "model.pt", "")),
    "newer profile": lambda folder: Profile.from_json('{"schema": 9}', where="profile.json"),
    "device without ONNX Runtime": lambda folder: calibration_checks.check_device(device("serial:/dev/ttyACM0")),
    "device of another architecture": lambda folder: calibration_checks.check_machine(
        Target.load("raspberry-pi-4"), device("local:"), "x86_64"
    ),
    "newer manifest": lambda folder: Manifest.parse(b'{"schema": 9}', where="manifest.json"),
    "manifest without values": lambda folder: Manifest.parse(b'{"schema": 1, "recipe": 3}', where="manifest.json"),
    "path outside the bundle": lambda folder: bundle_paths.check(["../model.onnx"]),
    "damaged archive": lambda folder: verify(_file(folder, "bundle.tar.gz", "damaged, and too short")),
    "file of an unknown kind": lambda folder: bundle_reader.read(_file(folder, "notes.txt", "notes")),
    "bundle without report data": ReportData.load,
    "folder of other files": lambda folder: check_replaceable(
        _file(folder, "notes.txt", "").parent, folder.parent / "none.tar.gz"
    ),
    "damaged lock": lambda folder: Lock(_file(folder, "edgeprune.lock", "{"), "digits"),
    "newer lock": lambda folder: Lock(_file(folder, "edgeprune.lock", '{"schema": 9}'), "digits"),
    "unsupported precision": lambda folder: demanded_precision(
        _digits(quantize__precision="float32"), Target.load("arduino-nano-33-ble")
    ),
    "int8 that loses accuracy": lambda folder: decide(
        "int8", PrecisionInputs(_ACCURATE, PrecisionCandidate(0.8, 300)), accuracy_drop=0.005
    ),
    "operator without a conversion": lambda folder: convert(_onnx(folder, "Hardmax"), folder / "model.tflite"),
    "missing TFLite file": lambda folder: load_file(folder / "model.tflite"),
    "missing ONNX file": lambda folder: onnx_loading.load_file(folder / "model.onnx"),
    "network without outputs": lambda folder: export(_NoTensor(), (torch.ones(1, 2),), folder / "model.onnx"),
    "operator without a kernel": lambda folder: preflight(
        _onnx(folder, "Elu"), _board(onnx={"unsupported": ["Elu"], "remarks": {"Elu": "use Relu"}})
    ),
    "exported outputs that differ": lambda folder: parity.check(
        parity.compare(np.array([[1.0, 2.0]]), np.array([[2.0, 1.0]])), max_error=0.001, top1_agreement=0.99
    ),
    "excluded layer that does not exist": lambda folder: _pruned(exclude=["head.*"]),
    "layer settings without a match": lambda folder: _pruned(layers=[{"match": "frist", "min_units": 2}]),
    "unknown option of prune": lambda folder: edgeprune.PruneOptions(criteron="l2"),  # type: ignore[call-arg]
    "optimizer of another network": lambda folder: _optimizer_of_another_network(),
    "plan of another network": lambda folder: _plan_of_another_network(),
    "newer plan": lambda folder: edgeprune.Plan.load(_file(folder, "plan.json", '{"schema": 9}')),
    "option out of range": lambda folder: criteria.create("l2", {"aggregate": "median"}),
    "class of another kind": lambda folder: criteria.create("torch.nn:Linear"),
    "data that can be read once": lambda folder: Samples(iter([])),
    "unknown repair method": lambda folder: chosen_repairs("biases", data=True),
    "repair without data": lambda folder: chosen_repairs(["bias"], data=False),
    "damaged latency table": lambda folder: LatencyTable.from_json('{"schema": 9}', where="table.json"),
    "factory without a module": lambda folder: network.build(dict, name="net.py:make"),
    "network with infinite outputs": lambda folder: network.check_forward(
        nn.Linear(2, 2).requires_grad_(False).apply(lambda module: module.bias.fill_(torch.inf)), (torch.ones(1, 2),)
    ),
    "weights of another network": lambda folder: weights.load_into(nn.Linear(4, 3), _saved(folder, nn.Linear(4, 2))),
    "weights of another format": lambda folder: weights.read(_file(folder, "net.h5", "")),
    "data of another type": lambda folder: data.as_data([1], where="data.py:load"),
    "empty split": lambda folder: data.check(Data(train=_split(0), validation=_split()), torch.zeros(1, 3)),
    "label out of range": lambda folder: data.check(Data(train=_split(0, 3), validation=_split(0)), torch.zeros(1, 3)),
    "labels that are not integers": lambda folder: TensorSplit(torch.zeros(2, 4), torch.zeros(2)),
    "spec without a name": lambda folder: load_object("net.py", base=folder),
    "step with a loss": lambda folder: Objective(TrainingSettings(step="net.py:step", loss="net.py:loss"), base=folder),
    "batch smaller than the processes": lambda folder: StepPlan.of(TrainingSettings(batch_size=2), 100, 4),
    "option of a schedule": lambda folder: schedules.create("iterative", {"rounds": 0}),
    "limit in the wrong direction": lambda folder: RegressionLimit.parse("accuracy:+1%"),
    "file of another kind": lambda folder: overwrite_guard.check_output_file(
        _file(folder, "net.py", "x = 1"), overwrite_guard.SVG
    ),
}


_COMMANDS: dict[str, list[str]] = {
    "mistyped command": ["buidl"],
    "recipe and network": ["build", "digits", "--model", "net:make", "--data", "net:data", "--input", "1,3"],
    "network without data": ["build", "--model", "net:make"],
    "setting without a value": ["build", "digits", "--set", "prune.criterion"],
    "invalid shape": ["build", "digits", "--input", "1,x"],
    "factory without a shape": ["inspect", "net.py:Net"],
    "unknown name in a list": ["criteria", "l3"],
    "two output formats": ["compare", "base", "new", "--json", "--markdown"],
    "regression limit without a number": ["compare", "base", "new", "--fail-on", "macs:five"],
    "missing bundle of a command": ["verify", "none"],
}


def _check(name: str, result: dict[str, object]) -> None:
    snapshot = json.loads(_SNAPSHOT.read_text(encoding="utf-8"))
    if "UPDATE_MESSAGES" in os.environ:
        snapshot = {case: result if case == name else snapshot.get(case) for case in (*_CASES, *_COMMANDS)}
        _SNAPSHOT.write_text(json.dumps(snapshot, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    assert result == snapshot[name]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))


@pytest.mark.parametrize("name", _CASES)
def test_message_is_that_of_the_snapshot(name: str, tmp_path: Path) -> None:
    with pytest.raises(EdgePruneError) as raised:
        _CASES[name](tmp_path)
    text = str(raised.value).replace(str(tmp_path), "FOLDER").replace(version("edgeprune"), "VERSION")
    _check(name, {"class": type(raised.value).__name__, "message": text})


@pytest.mark.parametrize("name", _COMMANDS)
def test_printed_message_is_that_of_the_snapshot(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    exit_code = run(_COMMANDS[name])
    _check(name, {"exit code": exit_code, "message": capsys.readouterr().err.rstrip("\n")})


def test_snapshot_has_no_other_messages() -> None:
    assert json.loads(_SNAPSHOT.read_text(encoding="utf-8")).keys() == {*_CASES, *_COMMANDS}
