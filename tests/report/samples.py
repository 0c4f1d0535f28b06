"""What a report is made of, without a build: a network of any size, and names of any kind."""

from __future__ import annotations

import dataclasses

import numpy as np

from edgeprune.bundle.manifest import (
    AllMetrics,
    BudgetReport,
    CandidateReport,
    FileEntry,
    Manifest,
    Metrics,
    PrecisionReport,
    Provenance,
)
from edgeprune.bundle.parity_report import ParityReport
from edgeprune.bundle.pruning_report import EpochReport, EquivalenceReport
from edgeprune.bundle.report_data import (
    PrecisionVariant,
    ReportCall,
    ReportData,
    ReportGroup,
    ReportLayer,
    ReportSensitivity,
    RequestedSettings,
    SensitivityCurve,
    SensitivityPoint,
    TrainingPhase,
)
from edgeprune.profile import Profile, latency_noise, latency_statistics
from edgeprune.profile.profile_result import (
    DeviceState,
    Environment,
    Figure,
    GoldenCheck,
    LatencyFigures,
    LayerTime,
    ModelProfile,
    RatioFigure,
    Validity,
)

DENSE_MACS, LEFT_MACS = 125_485_696, 62_700_000


def manifest(name: str = "net", *, ok: bool = True, files: tuple[str, ...] = ("model.onnx",)) -> Manifest:
    return Manifest(
        recipe=name,
        target="board",
        files={file: FileEntry(sha256="ab" * 32, bytes=1_620_000) for file in files},
        metrics=AllMetrics(
            dense=Metrics(macs=DENSE_MACS, params=853_018, accuracy=0.9024, samples=10_000, file_bytes=3_430_809),
            pruned=Metrics(macs=LEFT_MACS, params=400_000, accuracy=0.8912, samples=10_000, file_bytes=1_620_000),
            shipped=Metrics(macs=LEFT_MACS, params=400_000, accuracy=0.8910, samples=10_000, file_bytes=452_310),
        ),
        equivalence=EquivalenceReport(verified=True, max_error=1.5e-7, exact=True),
        precision=PrecisionReport(
            shipped="int8",
            reason=f"int8 is faster, says {name}",
            float_nodes=(f"/{name}/Conv",),
            candidates={
                "float32": CandidateReport(accuracy=0.9, top1_agreement=1.0, file_bytes=1_620_000),
                "int8": CandidateReport(accuracy=0.899, top1_agreement=0.98, file_bytes=452_310),
            },
        ),
        parity=ParityReport(max_error=0.1, mean_error=0.01, relative_error=0.02, top1_agreement=0.98, samples=5000),
        budgets=(
            BudgetReport(name="macs", limit=62_742_848, value=LEFT_MACS, ok=True),
            BudgetReport(name="latency_ms.p95", limit=1.5, value=1.25, kind="measured", ok=ok),
        ),
        provenance=Provenance(packages={"torch": "2.13.0"}, python="3.11.7", seed=7, inputs={name: "cd" * 32}),
    )


def facts(name: str = "layer", *, layers: int = 6, units: int = 16, rounds: int = 3) -> ReportData:
    rng = np.random.default_rng(0)
    scores = np.sort(rng.lognormal(size=(layers, units)), axis=1)
    half, macs = units // 2, (DENSE_MACS // layers, LEFT_MACS // layers)
    return ReportData(
        settings=RequestedSettings(
            description=f"What {name} does",
            budget={"macs": 0.5, "latency_ms": "1.5ms"},
            criterion="fisher",
            selection="global",
            repairs=("constants", "least_squares"),
            schedule="iterative",
            options={"rounds": rounds, "path": name},
            epochs=9,
            precision="auto",
            max_accuracy_drop=0.005,
            target=f"A board for {name}",
            runtime="onnxruntime",
            versions=">=1.17",
            hardware={"cpu": name, "cores": 4, "clock_mhz": 1500, "memory_bytes": 2**31, "features": [name]},
        ),
        layers=(
            *(
                ReportLayer(name=f"{name}{n}.conv", kind="conv 3x3", channels=(units, half), macs=macs)
                for n in range(layers)
            ),
            ReportLayer(name="attention", kind="matmul", channels=None, macs=(1000, 700)),
        ),
        calls=tuple(
            ReportCall(name=f"{name}{n}", kind="relu", bytes=(4096 * (n % 7 + 1), 2048 * (n % 7)))
            for n in range(4 * layers)
        ),
        groups=(
            *(
                ReportGroup(
                    name=f"{name}{n}",
                    units=units,
                    remaining_units=half,
                    layers=(f"{name}{n}.conv",),
                    remaining_scores=tuple(scores[n, half:].tolist()),
                    removed_scores=tuple(scores[n, :half].tolist()),
                )
                for n in range(layers)
            ),
            ReportGroup(name="head", units=10, remaining_units=10, frozen=f"output of {name}", layers=("head",)),
        ),
        sensitivity=ReportSensitivity(
            samples=119,
            loss=0.3,
            accuracy=0.9,
            groups=tuple(
                SensitivityCurve(
                    group=f"{name}{n}",
                    units=units,
                    points=tuple(
                        SensitivityPoint(
                            remaining_units=count, loss=0.3 + 0.01 * (n + 1) * (units - count), accuracy=0.9 - 0.01 * n
                        )
                        for count in (units - units // 4, half, units // 4)
                    ),
                )
                for n in range(layers)
            ),
        ),
        start=0.905,
        steps=tuple(
            TrainingPhase(macs=max(0, DENSE_MACS - 20_000_000 * n), accuracy=0.9 - 0.003 * n)
            for n in range(1, rounds + 1)
        ),
        epochs=tuple(
            EpochReport(phase=n // 3 + 1, train_loss=1.0, validation_loss=0.5, validation_accuracy=0.88 + 0.001 * n)
            for n in range(3 * rounds)
        ),
        variants={
            "float32": PrecisionVariant(
                accuracy=0.9, top1_agreement=1.0, max_error=1e-6, relative_error=1e-7, samples=5000
            ),
            "int8": PrecisionVariant(
                accuracy=0.899, top1_agreement=0.98, max_error=0.1, relative_error=0.02, samples=5000
            ),
            "float16": PrecisionVariant(problem=f"no {name} in float16"),
        },
    )


def profile(name: str = "CPU", *, runs: int = 300, valid: bool = True) -> Profile:
    rng = np.random.default_rng(1)
    scales = {"dense": 0.2, "pruned": 0.15, "int8": 0.1}
    models = {kind: _model(rng.gamma(9, scale, (3, runs))) for kind, scale in scales.items()}
    base = models["dense"].blocks_ms
    nodes = (("conv", "Conv", 0.5), (name, "Relu", 0.25), ("last", name, 0.25))
    models["int8"] = dataclasses.replace(
        models["int8"],
        layers=tuple(LayerTime(*node) for node in nodes),
        energy_mj=Figure(3.5),
        gpu_memory_bytes=Figure(5e6),
        load_ms=None,
    )
    before = DeviceState({name: 41.0}, {"policy0": 1500.0}, governor={"policy0": name}, throttle=())
    during = DeviceState({name: 55.0}, {"policy0": 1400.0}, {"VDD_IN": 5704.0}, throttle=("soft temperature limit",))
    return Profile(
        device={"uri": "local:", "cpu": name, "runtime": "onnxruntime", "runtime_version": "1.31.1"},
        settings={"runs": runs},
        models=models,
        ratios={
            kind: RatioFigure(**vars(latency_noise.ratio(base, models[kind].blocks_ms))) for kind in ("pruned", "int8")
        },
        environment=Environment(before, during, before),
        validity=Validity(
            valid=valid,
            problems=() if valid else (f"{name} was throttled",),
            noise={"dense": 0.012, "int8": 0.03},
            noise_limit=0.1,
            attempts=1,
            golden={"int8": GoldenCheck(samples=32, max_error=1e-4, tolerance=0.02, top1_agreement=1.0)},
        ),
    )


def _model(blocks: np.ndarray) -> ModelProfile:
    remaining = tuple(tuple(block) for block in blocks.tolist())
    return ModelProfile(
        sha256="0" * 64,
        latency_ms=LatencyFigures(**vars(latency_statistics.latency(remaining))),
        first_ms=Figure(9.0),
        load_ms=Figure(20.0),
        peak_memory_bytes=Figure(20e6),
        runtime_memory_bytes=Figure(60e6),
        memory_source="VmHWM",
        warm_up_runs=21,
        stable=True,
        threads=2,
        blocks_ms=remaining,
    )
