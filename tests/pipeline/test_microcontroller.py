"""The whole build for a microcontroller: what TFLite Micro says, what fits, and what is told where nothing does."""

from __future__ import annotations

import html
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from edgeprune.backends.tflm.tflm_footprint import footprint
from edgeprune.bundle.manifest import Manifest
from edgeprune.cli import run
from edgeprune.config import Recipe, Target
from edgeprune.errors import BudgetError, RecipeError, TargetError
from edgeprune.pipeline import build
from edgeprune.pipeline.build_pipeline import BuildResult
from edgeprune.report import quantity_text
from edgeprune.report.build_table import markdown, rows
from edgeprune.selection import Plan

_NANO = "arduino-nano-33-ble"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("boards")


def _build(folder: Path, board: Target | str = _NANO, **settings: Any) -> BuildResult:
    # Without training int8 may lose more than it should; what is fit is what is asked here.
    options = {
        "training.epochs": 0,
        "quantize.max_accuracy_drop": 1.0,
        "prune.samples": 64,
        **{key.replace("__", "."): value for key, value in settings.items()},
    }
    return build(Recipe.load("digits").override(options), board, output=folder / "dist", cache=folder / "cache")


def _board(name: str = _NANO, **microcontroller: int) -> Target:
    """A board with less than it has."""
    target = Target.load(name)
    values = target.model_dump()
    values["microcontroller"].update(microcontroller)
    return Target.parse({**values, "name": "small-board", "aliases": ()}, where="a test")


@pytest.fixture(scope="module")
def built(folder: Path) -> BuildResult:
    return _build(folder, training__epochs=2)


def test_int8_is_selected_and_runs_on_tflite_micro(built: BuildResult) -> None:
    manifest = built.manifest
    assert manifest.precision is not None
    assert manifest.precision.shipped == "int8"
    assert manifest.precision.reason.startswith("int8 ")
    assert manifest.microcontroller is not None
    result = manifest.microcontroller.agreement
    assert result is not None
    assert result.samples == manifest.metrics.shipped.samples == 355
    assert result.top1_agreement is not None
    assert result.top1_agreement >= 0.995
    assert result.worst_steps <= 4
    assert result.kernels == "reference"
    assert result.litert_accuracy == pytest.approx(manifest.metrics.shipped.accuracy, abs=0.01)
    assert result.accuracy == pytest.approx(result.litert_accuracy, abs=0.005)


def test_the_arena_in_the_manifest_adds_up(built: BuildResult) -> None:
    report = Manifest.load(built.folder).microcontroller
    assert report is not None
    for name, stated in (("dense", report.dense), ("shipped", report.shipped)):
        arena = stated.arena
        assert arena.total_bytes == arena.nonpersistent_bytes + arena.persistent_bytes, name
        kinds = arena.by_kind.values()
        assert sum(kind.host_bytes for kind in kinds) == arena.persistent_bytes
        assert arena.restated_bytes == arena.nonpersistent_bytes + sum(kind.target_bytes for kind in kinds)
        assert arena.arena_bytes == arena.restated_bytes + arena.scratch_bytes
        assert sum(tensor.bytes for tensor in stated.peak.tensors) <= arena.nonpersistent_bytes
        assert stated.flash.flash_bytes == (
            stated.flash.file_bytes + stated.flash.golden_bytes + sum(stated.flash.code.values())
        )
        assert stated.flash.band_bytes is not None
        low, high = stated.flash.band_bytes
        assert low < stated.flash.flash_bytes < high
    real = footprint(built.folder / "model.tflite")
    assert report.shipped.arena.arena_bytes == real.arena_bytes
    assert report.shipped.flash.file_bytes == built.manifest.files["model.tflite"].bytes
    assert report.limits == Target.load(_NANO).limits


def test_latency_is_an_estimate_from_multiply_adds(built: BuildResult) -> None:
    report, metrics = built.manifest.microcontroller, built.manifest.metrics
    assert report is not None
    assert report.latency.latency_ms == pytest.approx(metrics.shipped.macs * 4.22 / 64e3)
    assert report.latency.low_ms < report.latency.latency_ms < report.latency.high_ms
    assert metrics.shipped.predicted_latency_ms == pytest.approx(report.latency.latency_ms)
    assert metrics.dense.predicted_latency_ms == pytest.approx(metrics.dense.macs * 4.22 / 64e3)
    assert not built.profile.models  # nothing was measured here
    kinds = {row.key: row.kind for row in rows(built.manifest, built.profile)}
    assert {kinds[key] for key in ("arena_bytes", "flash_bytes", "predicted_latency_ms")} == {"estimated"}


def test_report_shows_available_and_used_memory_of_the_board(built: BuildResult) -> None:
    report = built.manifest.microcontroller
    assert report is not None
    page = (built.folder / "report.html").read_text(encoding="utf-8")
    part = page.partition('id="board"')[2].partition("</section>")[0]
    for text in (report.shipped.arena.arena_bytes, report.shipped.flash.flash_bytes, report.limits["arena_bytes"]):
        assert f">{quantity_text.size(text)}<" in part
    assert quantity_text.milliseconds(report.latency.latency_ms) in part
    assert report.shipped.peak.name in part
    for row in report.shipped.arena.by_kind.values():
        assert row.arithmetic in part
    assert '<span class="kind measured">' in part  # the agreement
    assert part.count('<span class="kind estimated">') >= 3


def test_memory_of_the_board_is_a_limit_by_default(built: BuildResult) -> None:
    budgets = {budget.name: budget for budget in built.manifest.budgets}
    assert set(budgets) == {"macs", "arena_bytes", "flash_bytes"}
    assert budgets["arena_bytes"].limit == 196_608
    assert all(budget.ok for budget in budgets.values())
    assert budgets["arena_bytes"].kind == budgets["flash_bytes"].kind == "estimated"


def test_the_bundle_has_firmware_and_no_runner(built: BuildResult) -> None:
    names = set(built.manifest.files)
    assert {"firmware/main.cc", "firmware/model_data.cc", "firmware/op_resolver.h", "firmware/README.md"} <= names
    assert "run.py" not in names
    sha = built.manifest.files["model.tflite"].sha256
    assert f"digits-{_NANO}-{sha[:12]}" in (built.folder / "firmware/model_info.h").read_text()


def test_report_shows_the_operator_at_the_memory_peak(built: BuildResult) -> None:
    text = markdown(built.manifest, built.profile)
    assert "The arena's peak, dense: CONV_2D /residual/conv2/Conv (" in text
    assert "The arena's peak, shipped: " in text
    assert "TFLite Micro: same class as LiteRT for" in text
    page = (built.folder / "report.html").read_text()
    assert "Live tensors at the arena's peak, dense: CONV_2D /residual/conv2/Conv" in html.unescape(page)
    assert "Live tensors at the arena's peak, shipped: " in html.unescape(page)
    assert "Tensor arena, with 32-bit pointers" in page
    assert "<dt>measured on</dt>" not in page


@pytest.mark.long
def test_boards_of_equal_plans_share_the_training(built: BuildResult, folder: Path) -> None:
    other = _build(folder, "rp2040-pico", training__epochs=2)
    cached = {stage.name for stage in other.stages if stage.cached}
    assert {"train", "export", "quantize", "parity"} <= cached
    assert "profile" not in cached  # the boards differ in clock and cycles
    assert "bundle" not in cached
    assert other.manifest.files["model.tflite"] == built.manifest.files["model.tflite"]


def test_second_build_for_a_board_is_cached(built: BuildResult, folder: Path) -> None:
    before = (built.folder / "manifest.json").read_bytes(), built.archive.read_bytes()
    again = _build(folder, training__epochs=2)
    assert all(stage.cached for stage in again.stages)
    shutil.rmtree(folder / "dist")
    anew = _build(folder, training__epochs=2)
    assert [stage.name for stage in anew.stages if not stage.cached] == ["bundle"]
    assert ((anew.folder / "manifest.json").read_bytes(), anew.archive.read_bytes()) == before


@pytest.mark.long
@pytest.mark.parametrize(
    ("settings", "message"),
    [({"quantize__calibration": "entropy"}, "calibration = 'entropy'"), ({"quantize__equalize": True}, "equalize")],
)
def test_precision_missing_in_tflite_is_an_error(
    settings: dict[str, Any], message: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _build(folder, training__epochs=2, **settings)
    (warning,) = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    assert warning.startswith(f"quantize.{message}")
    assert "TFLite" in warning


@pytest.mark.long
@pytest.mark.parametrize("share", [0.9, 0.77, 0.6])
def test_network_is_pruned_until_the_arena_fits(share: float, folder: Path) -> None:
    result = _build(folder, budget__arena_bytes=share, budget__macs=None)
    (budget,) = (budget for budget in result.manifest.budgets if budget.name == "arena_bytes")
    report = result.manifest.microcontroller
    assert report is not None
    assert budget.ok
    assert budget.value == report.shipped.arena.arena_bytes == footprint(result.folder / "model.tflite").arena_bytes
    assert 0.6 * budget.limit < budget.value <= budget.limit == int(share * report.dense.arena.arena_bytes)
    before, after = (sum(one.bytes for one in side.peak.tensors) for side in (report.dense, report.shipped))
    assert after < before


@pytest.mark.long
def test_a_board_that_is_too_small_is_a_limit(folder: Path) -> None:
    result = _build(folder, _board(ram_bytes=10_700, reserved_ram_bytes=0), budget__macs=0.99)
    report = result.manifest.microcontroller
    assert report is not None
    assert report.dense.arena.arena_bytes > 10_700 >= report.shipped.arena.arena_bytes
    plan = Plan.load(result.folder / "plan.json")
    assert plan.origin["budget"] == {"macs": 0.99, "arena_bytes": 10_700}


@pytest.mark.long
def test_flash_is_the_file_and_the_code(folder: Path) -> None:
    result = _build(folder, budget__flash_bytes=130_000, budget__macs=None)
    (budget,) = (budget for budget in result.manifest.budgets if budget.name == "flash_bytes")
    assert budget.ok
    assert 100_000 < budget.value <= 130_000
    assert budget.value == footprint(result.folder / "model.tflite").flash_bytes


@pytest.mark.long
def test_latency_can_be_limited(folder: Path) -> None:
    result = _build(folder, budget__latency_ms="40ms", budget__macs=None)
    after = result.manifest.metrics.shipped.predicted_latency_ms
    assert after is not None
    assert 30 < after <= 40


_NO_ARENA = (
    r"arena_bytes: 1,000 .*[\d,]+,.*TFLite Micro's.*: "
    r"\w+ /\S+ with .* bytes at once; [\d,]+ for tensors, nodes and kernels; [\d,]+ for CMSIS-NN"
)
_NO_FLASH = (
    r"flash_bytes: 90,000 .* [\d,]+,.*: "
    r"the file has [\d,]+ bytes, the rest of the image [\d,]+"
)


@pytest.mark.long
@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"arena_bytes": 1000}, _NO_ARENA),
        ({"flash_bytes": 90_000}, _NO_FLASH),
        ({"macs": 0.00001}, r"budget macs: 15 "),
    ],
)
def test_unreachable_budget_is_an_error_before_training(budget: dict[str, Any], message: str, folder: Path) -> None:
    settings = {f"budget__{name}": limit for name, limit in {"macs": None, **budget}.items()}
    with pytest.raises(BudgetError, match=message) as caught:
        _build(folder, training__epochs=40, **settings)
    ((name, limit),) = budget.items()
    assert caught.value.nearest[name] > (limit if limit > 1 else 0)


@pytest.mark.long
def test_error_names_memory_of_a_board_that_is_too_small(folder: Path) -> None:
    with pytest.raises(BudgetError, match=r"arena_bytes.*2,000.*small-board"):
        _build(folder, _board(ram_bytes=2000, reserved_ram_bytes=0))


@pytest.mark.long
def test_the_exit_code_of_a_missed_budget(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    argv = ["build", "--target", "mcu", "--epochs", "0", "--budget", "arena_bytes=2KiB", "--cache", "cache"]
    assert run(argv) == 4
    assert "budget arena_bytes: 2,048" in capsys.readouterr().err


def test_arena_budget_needs_a_microcontroller(folder: Path) -> None:
    with pytest.raises(RecipeError, match=r"'budget\.arena_bytes'.*raspberry-pi-4.*ONNX"):
        _build(folder, "raspberry-pi-4", budget__arena_bytes=10_000)


def test_a_board_runs_int8_alone(folder: Path) -> None:
    with pytest.raises(RecipeError, match=r"quantize\.precision: .*'float32'.*arduino-nano-33-ble .*int8.*'auto'"):
        _build(folder, quantize__precision="float32")


def test_preflight_refuses_an_operator_without_kernel(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "import torch\nfrom torch import nn\n"
        "def make():\n    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.GELU(), nn.Flatten(), nn.Linear(288, 10))\n"
    )
    recipe = Recipe.load("digits")
    values = recipe.model_dump() | {
        "model": {"factory": str(tmp_path / "net.py:make"), "input": (1, 1, 8, 8)},
        "data": {"function": str(recipe.folder / "data.py:load")},
    }
    other = Recipe.parse(values, folder=tmp_path, where="a test")
    with pytest.raises(TargetError, match=r"arduino-nano-33-ble .*\(GELU\)"):
        build(other, _NANO, output=tmp_path / "dist", cache=tmp_path / "cache")


@pytest.mark.long
def test_schedule_satisfies_the_arena_budget(folder: Path) -> None:
    result = _build(
        folder,
        schedule__name="iterative",
        schedule__rounds=2,
        training__epochs=2,
        budget__macs=None,
        budget__arena_bytes=0.7,
    )
    (budget,) = (budget for budget in result.manifest.budgets if budget.name == "arena_bytes")
    assert budget.ok
    assert budget.value <= budget.limit


def test_manifest_without_microcontroller_section_is_read(built: BuildResult, tmp_path: Path) -> None:
    values = json.loads((built.folder / "manifest.json").read_text())
    assert values["schema"] == 2
    del values["microcontroller"]
    (tmp_path / "manifest.json").write_text(json.dumps(values))
    assert Manifest.load(tmp_path).microcontroller is None
