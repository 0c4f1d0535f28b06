"""What a profile says of the limits of a bundle, on its target and elsewhere."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgeprune.bundle.budget_check import combined, compare_with_limit
from edgeprune.bundle.manifest import (
    AllMetrics,
    BudgetReport,
    ConstraintReport,
    FileEntry,
    Manifest,
    Metrics,
    Platform,
    Provenance,
)  # fmt: skip
from edgeprune.bundle.parity_report import ParityReport
from edgeprune.evidence import Kind
from edgeprune.profile import Profile
from edgeprune.profile.measured_limits import check_limits, device_name, is_on_target
from edgeprune.profile.profile_result import Figure, LatencyFigures, ModelProfile


def manifest(
    *constraints: ConstraintReport, runtime: str = "onnxruntime", architecture: str | None = "aarch64"
) -> Manifest:
    metrics = Metrics(macs=1, params=1)
    return Manifest(
        recipe="r",
        target="t",
        files={"model.onnx": FileEntry(sha256="1" * 64, bytes=3), "run.py": FileEntry(sha256="2" * 64, bytes=3)},
        metrics=AllMetrics(dense=metrics, pruned=metrics, shipped=metrics),
        parity=ParityReport(max_error=0, mean_error=0, relative_error=0, top1_agreement=1, samples=1),
        platform=Platform(runtime=runtime, architecture=architecture),
        budgets=(),
        constraints=constraints,
        provenance=Provenance(packages={}, python="3.11", seed=0, inputs={}),
    )


def model(digit: str, p50: float, memory: float | None = 5e6) -> ModelProfile:
    return ModelProfile(
        sha256=digit * 64,
        latency_ms=LatencyFigures(p50, p50 * 1.1, p50 * 1.2, p50 * 1.5, p50 * 0.9, p50, 0.1, 300),
        first_ms=Figure(9.0),
        load_ms=Figure(20.0),
        peak_memory_bytes=None if memory is None else Figure(memory),
        runtime_memory_bytes=None,
        memory_source=None,
        warm_up_runs=21,
        stable=True,
        threads=1,
        blocks_ms=((p50,),),
    )


def profile(machine: str = "aarch64", runtime: str = "onnxruntime", **models: ModelProfile) -> Profile:
    models = models or {"dense": model("0", 4.0), "pruned": model("3", 3.0), "int8": model("1", 2.0)}
    return Profile({"uri": "local:", "machine": machine, "runtime": runtime, "runtime_version": "1.0"}, {}, models, {})


P50, MEMORY = ConstraintReport(name="latency_ms.p50", limit="3ms"), ConstraintReport(name="memory_bytes", limit="6MB")


def test_limits_apply_to_the_selected_model() -> None:
    latency, memory = check_limits(manifest(P50, MEMORY), profile())
    assert (latency.value, latency.limit, latency.ok, latency.kind) == (2.0, 3.0, True, "measured")
    assert (memory.value, memory.ok) == (5e6, True)
    (fraction,) = check_limits(manifest(ConstraintReport(name="latency_ms.p95", limit=0.4)), profile())
    assert (fraction.limit, fraction.ok) == (pytest.approx(0.4 * 4.0 * 1.2), False)


@pytest.mark.parametrize(
    ("target", "result", "kind"),
    [
        (manifest(P50), profile("x86_64"), "estimated"),
        (manifest(P50, architecture=None), profile("x86_64"), "measured"),
        (manifest(P50, runtime="tensorrt"), profile("aarch64"), "estimated"),
        (manifest(P50, runtime="tensorrt"), profile("aarch64", "tensorrt"), "measured"),
        (manifest(P50, runtime="litert"), profile("aarch64", "ai-edge-litert"), "measured"),
    ],
)
def test_a_measurement_elsewhere_is_an_estimate(target: Manifest, result: Profile, kind: str) -> None:
    (report,) = check_limits(target, result)
    assert (report.kind, report.ok) == (kind, True)
    strict = target.model_copy(update={"constraints": (P50.model_copy(update={"require": "measured"}),)})
    assert check_limits(strict, result)[0].ok == (kind == "measured")


def test_arena_is_the_one_that_the_board_reports() -> None:
    constraint = ConstraintReport(name="arena_bytes", limit=9000, require="measured")
    board = manifest(constraint, runtime="tflm", architecture="armv7e-m")
    (unknown,) = check_limits(board, profile("armv7e-m", "tflm"))
    assert not unknown.ok
    output = profile("armv7e-m", "tflm", int8=replace(model("1", 2.0), arena_bytes=Figure(8000.0)))
    (result,) = check_limits(board, output)
    assert (result.value, result.kind, result.ok) == (8000.0, "measured", True)


def _arena_budget(value: float, limit: float) -> BudgetReport:
    return compare_with_limit("arena_bytes", limit, value, "estimated")


@pytest.mark.parametrize("arena", [8000.0, 9500.0])
@pytest.mark.parametrize("kind", ["measured", "emulated"])
def test_the_arena_of_a_board_replaces_the_estimate(arena: float, kind: Kind) -> None:
    budget, macs = _arena_budget(8800, 9000), compare_with_limit("macs", 2, 1, "exact")
    board = manifest(runtime="tflm", architecture="armv7e-m").model_copy(update={"budgets": (macs, budget)})
    device = profile("microcontroller", "firmware", int8=replace(model("1", 2.0), arena_bytes=Figure(arena, kind)))
    (result,) = check_limits(board, device)
    assert (result.name, result.value, result.limit, result.kind, result.ok) == (
        "arena_bytes",
        arena,
        9000,
        kind,
        arena < 9000,
    )
    assert combined(board.budgets, [result]) == (macs, result)
    assert check_limits(board, profile("microcontroller", "firmware")) == ()  # it did not say
    assert combined(board.budgets, []) == (macs, budget)


def test_measurement_of_firmware_has_the_kind_measured() -> None:
    constraints = (ConstraintReport(name="arena_bytes", limit=9000, require="measured"), P50)
    device = profile("microcontroller", "firmware", int8=replace(model("1", 2.0), arena_bytes=Figure(8000.0)))
    result = check_limits(manifest(*constraints, runtime="tflm", architecture="armv7e-m"), device)
    assert [(report.kind, report.ok) for report in result] == [("measured", True)] * 2
    result = check_limits(manifest(P50, runtime="litert", architecture="aarch64"), device)
    assert [report.kind for report in result] == ["estimated"]


def test_measurement_on_an_emulator_has_the_kind_emulated() -> None:
    slow = model("1", 2.0)
    emulated = profile(int8=replace(slow, latency_ms=replace(slow.latency_ms, kind="emulated")))
    assert check_limits(manifest(P50), emulated)[0].kind == "emulated"
    strict = P50.model_copy(update={"require": "measured"})
    assert not check_limits(manifest(strict), emulated)[0].ok


def test_limit_without_a_measurement_is_missed_with_advice() -> None:
    (unknown,) = check_limits(manifest(P50), profile(pruned=model("3", 1.0)))
    assert (unknown.value, unknown.ok) == (None, False)
    assert "was not measured; 'edgeprune profile" in unknown.note
    (memory,) = check_limits(manifest(MEMORY), profile(int8=model("1", 1.0, memory=None)))
    assert not memory.ok
    (fraction,) = check_limits(
        manifest(ConstraintReport(name="latency_ms.p50", limit=0.5)), profile(int8=model("1", 1.0))
    )
    assert not fraction.ok
    assert "fraction of dense" in fraction.note


def test_a_fraction_of_dense_uses_an_earlier_dense_of_the_same_device_only() -> None:
    half = manifest(ConstraintReport(name="latency_ms.p50", limit=0.6))
    earlier = replace(profile(), device={**profile().device, "fingerprint": "f"})
    now = replace(profile(int8=model("1", 2.0)), device={**profile().device, "fingerprint": "f"})
    (available,) = check_limits(half, now.with_reference(earlier))
    assert (available.limit, available.ok) == (pytest.approx(0.6 * 4.0), True)
    elsewhere = replace(earlier, device={**earlier.device, "fingerprint": "g"})
    (unknown,) = check_limits(half, now.with_reference(elsewhere))
    assert (unknown.value, unknown.ok) == (None, False)


def test_a_profile_keeps_the_dense_network_of_an_earlier_one() -> None:
    built, board = profile("x86_64"), profile(int8=model("1", 2.0))
    remaining = board.with_reference(built)
    assert remaining.reference == built
    assert Profile.from_json(remaining.to_json()) == remaining
    again = profile(int8=model("1", 2.5)).with_reference(remaining)
    assert again.reference == built  # one earlier profile, not a chain
    assert "reference" not in built.to_json()
    assert profile().with_reference(remaining).reference is None  # it has its own


def test_device_has_a_readable_name() -> None:
    assert device_name(profile("x86_64")) == "this machine (x86_64)"
    board = replace(
        profile(),
        device={"uri": "ssh://pi@kitchen", "machine": "aarch64", "runtime": "onnxruntime", "runtime_version": "1.0"},
    )
    assert device_name(board) == "ssh://pi@kitchen (aarch64)"
    platform = Platform(runtime="onnxruntime", architecture="aarch64")
    assert (is_on_target(platform, board), is_on_target(platform, profile("x86_64"))) == (True, False)
