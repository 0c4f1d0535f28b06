"""The table of a build: what each row says, for machines, for the terminal and as Markdown."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from edgeprune.bundle.budget_report import BudgetReport
from edgeprune.bundle.manifest import AllMetrics, Manifest, Metrics, Platform, PrecisionReport, Provenance
from edgeprune.bundle.parity_report import ParityReport
from edgeprune.profile import Profile
from edgeprune.profile.profile_result import Figure, LatencyFigures, ModelProfile, RatioFigure
from edgeprune.report.build_table import markdown, render, rows


def build(**shipped: float) -> Manifest:
    return Manifest(
        recipe="cifar10-resnet56",
        target="host",
        metrics=AllMetrics(
            dense=Metrics(macs=125_485_696, params=853_018, accuracy=0.9024, file_bytes=3_430_809),
            pruned=Metrics(macs=62_700_000, params=400_000, accuracy=0.8912),
            shipped=Metrics(macs=62_700_000, params=400_000, **shipped),
        ),
        parity=ParityReport(max_error=0, mean_error=0, relative_error=0, top1_agreement=1, samples=64),
        budgets=(BudgetReport(name="macs", limit=62_742_848, value=62_700_000, ok=True),),
        provenance=Provenance(packages={}, python="3.11.7", seed=0, inputs={}),
    )


def model(p50: float, memory: float | None) -> ModelProfile:
    return ModelProfile(
        sha256="0" * 64,
        latency_ms=LatencyFigures(p50, p50 * 1.1, p50 * 1.2, p50 * 1.5, p50 * 0.9, p50, 0.1, 300),
        first_ms=Figure(9.0),
        load_ms=Figure(20.0),
        peak_memory_bytes=None if memory is None else Figure(memory),
        runtime_memory_bytes=None if memory is None else Figure(60e6),
        memory_source="VmHWM",
        warm_up_runs=21,
        stable=True,
        threads=2,
        blocks_ms=((p50,),),
    )


def profile(memory: float | None = 20e6) -> Profile:
    device = {"uri": "local:", "cpu": "Some CPU", "runtime": "onnxruntime", "runtime_version": "1.31.1"}
    return Profile(
        device=device,
        settings={},
        models={"dense": model(2.0, 21e6), "pruned": model(1.5, memory)},
        ratios={"pruned": RatioFigure(0.75, 0.74, 0.77, 0.95)},
    )


def test_rows_measured_on_another_device_name_it() -> None:
    output = build(accuracy=0.8910, file_bytes=1_620_000, predicted_latency_ms=30.0)
    metrics = output.metrics.model_copy(
        update={"dense": output.metrics.dense.model_copy(update={"predicted_latency_ms": 60.0})}
    )
    output = output.model_copy(
        update={"metrics": metrics, "platform": Platform(runtime="onnxruntime", architecture="aarch64")}
    )
    here = replace(profile(), device={**profile().device, "machine": "x86_64"})
    results = {row.key: row for row in rows(output, here)}
    measured = {key for key, row in results.items() if row.where}
    assert measured == {key for key in results if key.startswith(("latency_ms", "peak_memory"))}
    assert {results[key].where for key in measured} == {"this machine (x86_64)"}
    assert "off by" not in results["predicted_latency_ms"].change  # predicted for the board, measured here
    assert markdown(output, here).count("| this machine |") == len(measured)
    assert not any(row.where for row in rows(output, replace(here, device={**here.device, "machine": "aarch64"})))
    assert "on this machine" in markdown(output, here)
    small = {name: model(0.038505 * one.latency_ms.p50, 21.5e6) for name, one in here.models.items()}
    narrow = io.StringIO()
    Console(file=narrow, width=80).print(render(output, replace(here, models=small)))
    assert "…" not in narrow.getvalue()


def test_rows_as_data() -> None:
    results = {row.key: row for row in rows(build(accuracy=0.8910, file_bytes=1_620_000), profile())}
    assert list(results) == [
        "macs", "params", "file_bytes", "accuracy", "shipped_accuracy",
        "latency_ms.p50", "latency_ms.p90", "latency_ms.p99", "latency_ms.min", "peak_memory_bytes",
    ]  # fmt: skip
    assert results["macs"].ratio == pytest.approx(0.4997, abs=1e-4)
    assert results["macs"].texts == ("125.5 M", "62.7 M")
    assert results["file_bytes"].texts == ("3.431 MB", "1.62 MB")
    assert (results["accuracy"].change, results["accuracy"].ratio) == ("-1.12 points", None)
    assert results["shipped_accuracy"].change == "-1.14 points"
    assert results["latency_ms.p50"].change == "0.75 (0.74 to 0.77)"
    assert results["latency_ms.p99"].pruned == pytest.approx(2.25)
    assert {row.kind for key, row in results.items() if key.startswith(("latency", "peak"))} == {"measured"}
    assert {row.kind for key, row in results.items() if not key.startswith(("latency", "peak"))} == {"exact"}


def test_unknown_values_have_no_row() -> None:
    assert [row.key for row in rows(build())] == ["macs", "params", "accuracy"]
    assert "peak_memory_bytes" not in [row.key for row in rows(build(), profile(memory=None))]
    emulated = profile()
    models = {
        name: replace(results, latency_ms=replace(results.latency_ms, kind="emulated"))
        for name, results in emulated.models.items()
    }
    results = {row.key: row.kind for row in rows(build(), replace(emulated, models=models))}
    assert (results["latency_ms.p50"], results["peak_memory_bytes"]) == ("emulated", "measured")


def test_terminal_and_markdown_show_the_same() -> None:
    manifest = build(accuracy=0.8910, file_bytes=1_620_000)
    out = io.StringIO()
    Console(file=out, width=120, color_system=None).print(render(manifest, profile()))
    output, text = out.getvalue(), markdown(manifest, profile())
    for row in rows(manifest, profile()):
        for part in (row.name, *row.texts, row.change):
            assert part in output
            assert part in text
    for part in (
        "cifar10-resnet56 for host",
        "FLOPs = 2 x MACs",
        "Some CPU",
        "onnxruntime 1.31.1",
        "2 threads",
        "measured",
    ):
        assert part in output
        assert part in text
    assert "Latency" not in markdown(manifest)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {6}


@pytest.mark.parametrize(
    ("measured", "p50", "ratio", "says"),
    [
        (True, 0.8, 0.4, "of pruned are those of the shipped int8 file"),
        (False, 1.5, 0.75, "of pruned are those of its float32 file; the shipped int8 file was not measured"),
    ],
)
def test_latency_is_that_of_the_file_that_ships(measured: bool, p50: float, ratio: float, says: str) -> None:
    manifest = build(accuracy=0.8910, file_bytes=600_000)
    manifest = manifest.model_copy(update={"precision": PrecisionReport(shipped="int8", reason="", candidates={})})
    both = profile()
    if measured:
        both = replace(
            both,
            models={**both.models, "int8": model(0.8, 5e6)},
            ratios={**both.ratios, "int8": RatioFigure(0.4, 0.39, 0.41, 0.95)},
        )
    row = {row.key: row for row in rows(manifest, both)}["latency_ms.p50"]
    assert (row.pruned, row.ratio) == (p50, ratio)
    assert says in markdown(manifest, both)
