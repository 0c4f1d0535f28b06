"""Comparisons: planted regressions are told from noise, and what cannot be compared is not."""

from __future__ import annotations

import io
import json
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from rich.console import Console

from edgeprune.bundle.bundle_reader import BundleContent
from edgeprune.bundle.evaluation import Evaluation
from edgeprune.bundle.manifest import AllMetrics, FileEntry, Manifest, Metrics, Provenance
from edgeprune.bundle.microcontroller_report import (
    ArenaReport,
    FlashReport,
    FootprintReport,
    LatencyEstimate,
    MicrocontrollerReport,
    PeakReport,
)  # fmt: skip
from edgeprune.bundle.parity_report import ParityReport
from edgeprune.errors import InputError, MeasurementError
from edgeprune.profile import Profile, latency_statistics
from edgeprune.profile.profile_result import Figure, LatencyFigures, ModelProfile, Validity
from edgeprune.report import comparison_output
from edgeprune.report.comparison import compare
from edgeprune.report.comparison_result import Comparison
from edgeprune.report.quantity_change import QuantityChange
from edgeprune.report.regression_limits import RegressionLimit

_DEVICE = {"uri": "local:", "machine": "aarch64", "cpu": "Cortex-A72", "runtime": "onnxruntime", "runtime_version": "1"}


def manifest(**shipped: Any) -> Manifest:
    values = {"macs": 1000, "params": 100, "accuracy": 0.99, "samples": 2000, "file_bytes": 4000, **shipped}
    metrics = Metrics(macs=2000, params=200, accuracy=0.99, samples=2000)
    return Manifest(
        recipe="digits",
        target="host",
        files={"model.onnx": FileEntry(sha256="1" * 64, bytes=4000)},
        metrics=AllMetrics(dense=metrics, pruned=metrics, shipped=Metrics(**values)),
        parity=ParityReport(max_error=0, mean_error=0, relative_error=0, top1_agreement=1, samples=1),
        budgets=(),
        provenance=Provenance(packages={}, python="3.11", seed=0, inputs={}),
    )


def model(seed: int, p50: float, *, sha256: str = "1", blocks: int = 3, drift: float = 0.01) -> ModelProfile:
    """Blocks of 100 latencies around ``p50``, each block off by a share of about ``drift``."""
    rng = random.Random(seed)
    times = tuple(
        tuple(p50 * off * rng.lognormvariate(0, 0.03) for _ in range(100))
        for off in (rng.lognormvariate(0, drift) for _ in range(blocks))
    )
    return ModelProfile(
        sha256=sha256 * 64,
        latency_ms=LatencyFigures(**vars(latency_statistics.latency(times))),
        first_ms=Figure(9.0),
        load_ms=Figure(20.0),
        peak_memory_bytes=Figure(5e6),
        runtime_memory_bytes=None,
        memory_source=None,
        warm_up_runs=21,
        stable=True,
        threads=1,
        blocks_ms=times,
    )


def profile(seed: int = 0, pruned: float = 1.0, dense: float = 2.0, **device: str) -> Profile:
    models = {"dense": model(seed + 100, dense, sha256="0"), "pruned": model(seed, pruned)}
    return Profile({**_DEVICE, **device}, {}, models, {})


def side(name: str, message: Manifest | None = None, result: Profile | None = None) -> BundleContent:
    return BundleContent(Path(name), message, None if result is None else result.to_json())


def compared(base: BundleContent, new: BundleContent, *rules: str) -> Comparison:
    return compare(base, new, [RegressionLimit.parse(rule) for rule in rules])


def directions(comparison: Comparison) -> dict[str, str]:
    return {change.key: change.direction for change in comparison.changes}


@pytest.mark.parametrize(
    ("shipped", "result", "key"),
    [
        ({"macs": 1200}, profile(1), "macs"),
        ({"file_bytes": 5000}, profile(1), "file_bytes"),
        ({"accuracy": 0.96}, profile(1), "accuracy"),
        ({}, profile(1, pruned=1.2), "latency_ms.p50"),
    ],
)
def test_a_planted_regression_is_the_only_one(shipped: dict[str, Any], result: Profile, key: str) -> None:
    comparison = compared(side("base", manifest(), profile()), side("new", manifest(**shipped), result))
    assert [change.key for change in comparison.failed] == [key]
    back = compared(side("new", manifest(**shipped), result), side("base", manifest(), profile()))
    assert back.failed == ()
    assert directions(back)[key] == "better"


def test_noise_is_no_regression() -> None:
    """Forty measurements of the same, each in a session of its own."""
    base = side("base", manifest(), profile())
    for seed in range(1, 41):
        new = side("new", manifest(accuracy=0.9885, params=100), profile(seed, pruned=1.01))
        assert compared(base, new).failed == ()
        assert compared(base, new, "latency_ms.p50:+2%", "accuracy:-0.05%").failed == ()


def test_slower_machine_is_not_a_slower_network() -> None:
    base = side("base", manifest(), profile())
    slow_machine = compared(base, side("new", manifest(), profile(1, pruned=1.3, dense=2.6)))
    assert slow_machine.failed == ()
    assert re.search(r"took \+(29|30|31)\.\d %", slow_machine.notes[0])
    # Of another version of the runtime it may be the runtime, and of another dense network nothing is known.
    version = compared(base, side("new", manifest(), profile(1, pruned=1.3, dense=2.6, runtime_version="2")))
    assert [change.key for change in version.failed] == ["latency_ms.p50"]
    other = profile(1, pruned=1.3, dense=2.6)
    models = {**other.models, "dense": replace(other.models["dense"], sha256="7" * 64)}
    assert compared(base, side("new", manifest(), replace(other, models=models))).failed
    # One that is slower on a machine that is faster is caught.
    assert compared(base, side("new", manifest(), profile(1, pruned=1.0, dense=1.6))).failed


def in_turn(slower: float, *, seed: int = 0, load: tuple[float, ...] = (1.0, 1.6, 1.1), sha256: str = "1") -> Profile:
    """The base, the file ``1``, and a new one that takes ``slower`` as long; ``load`` slows a block of both down."""
    rng = random.Random(seed)

    def loaded(name: str, p50: float) -> ModelProfile:
        blocks = tuple(tuple(p50 * much * rng.lognormvariate(0, 0.03) for _ in range(100)) for much in load)
        return replace(
            model(seed, p50, sha256=name),
            blocks_ms=blocks,
            latency_ms=LatencyFigures(**vars(latency_statistics.latency(blocks))),
        )

    return replace(profile(), models={"base": loaded(sha256, 1.0), "pruned": loaded("2", slower)})


@pytest.mark.long
def test_interleaved_measurements_are_compared_as_pairs() -> None:
    before = side("base", manifest(), profile(pruned=0.1))  # on a day when nothing else ran
    after = manifest().model_copy(update={"files": {"model.onnx": FileEntry(sha256="2" * 64, bytes=4000)}})

    def p50(slower: float, seed: int, base: BundleContent = before, **how: Any) -> QuantityChange:
        result = compared(base, side("new", after, in_turn(slower, seed=seed, **how)))
        return next(change for change in result.changes if change.key == "latency_ms.p50")

    for seed in range(40):
        assert p50(1.0, seed).direction == "noise"
        assert p50(1.06, seed).failed  # although each block of both took up to 60 % more than another one
        assert p50(0.9, seed).direction == "better"
    # Nothing else is asked for: neither the base's own measurement, nor a manifest.
    assert p50(1.06, 0, side("base", manifest())).failed
    assert p50(1.06, 0, side("base", result=profile(pruned=0.1))).failed
    alone = compared(side("base", manifest()), side("new", result=in_turn(1.06)))
    assert alone.notes == ("Base and new were measured in alternating blocks on local:.",)
    assert "latency_ms.p50" in {change.key for change in alone.failed}
    # Another file than what the base ships is no base: its own measurement counts.
    assert p50(1.0, 0, sha256="7").failed


def test_one_file_against_itself_is_two_measurements() -> None:
    """A build that changed nothing ships the same bytes."""
    same = replace(in_turn(1.2), models={"base": in_turn(1.2).models["base"], "pruned": model(9, 1.2, sha256="1")})
    result = compared(side("base", manifest(), profile()), side("new", manifest(), same))
    change = next(change for change in result.changes if change.key == "latency_ms.p50")
    assert change.base != change.new


def test_blocks_that_drift_widen_the_interval() -> None:
    def interval(drift: float, blocks: int = 3) -> float:
        models = {"pruned": model(3, 1.0, drift=drift, blocks=blocks)}
        result = compared(side("a", result=replace(profile(), models=models)), side("b", result=profile(1)))
        change = next(change for change in result.changes if change.key == "latency_ms.p50")
        return change.high - change.low

    assert interval(0.1) > 2 * interval(0.005)
    one_block = replace(profile(), models={"pruned": model(3, 1.0, blocks=1)})
    comparison = compared(side("a", result=one_block), side("b", result=profile(1, pruned=9.0)))
    assert directions(comparison)["latency_ms.p50"] == "not compared"


def test_rules_take_the_place_of_the_defaults() -> None:
    base = side("base", manifest(), profile())
    new = side("new", manifest(macs=1100, file_bytes=4500, accuracy=0.97), profile(1, pruned=1.2))

    def failed(*rules: str) -> list[str]:
        return [change.key for change in compared(base, new, *rules).failed]

    assert failed("macs:+5%") == ["macs"]
    assert failed("macs:+20%") == []
    assert failed("macs:+50", "file_bytes:+1KiB") == ["macs"]
    assert failed("file_bytes:+0.4kB") == ["file_bytes"]
    assert failed("accuracy:-1%") == failed("accuracy:-0.01") == ["accuracy"]
    assert failed("accuracy:-3%") == []
    assert failed("latency_ms.p50:+5%", "latency_ms.p95:+5%") == ["latency_ms.p50", "latency_ms.p95"]
    assert failed("latency_ms.p50:+30%") == failed("latency_ms.p50:+0.5ms") == []
    assert failed("latency_ms.p50:+100us") == ["latency_ms.p50"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latency_ms.p50", "'latency_ms.p50'.*KEY:"),
        ("latency_ms.p50:5%", "'latency_ms.p50:5%'.*KEY:"),
        ("latency_ms.p50:-5%", r"latency_ms\.p50:\+5%"),
        ("accuracy:+1%", "accuracy:-1%"),
        ("latency_ms.p50:+5KiB", "one of '%', 'us', 'ms', 's'"),
        ("macs:+5kB", "one of '%'"),
    ],
)
def test_invalid_rule_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        RegressionLimit.parse(text)


def test_bundles_of_different_recipes_are_refused() -> None:
    base = side("base", manifest(), profile())
    for change in ({"recipe": "other"}, {"target": "rpi"}, {"metric": "-loss"}):
        with pytest.raises(InputError, match=f"base .*{next(iter(change))} '.*new .*'"):
            compared(base, side("new", manifest().model_copy(update=change)))
    with pytest.raises(InputError, match="base and new "):
        compared(side("base", manifest()), side("new", result=profile()))
    with pytest.raises(InputError, match=r"a has the models .*b has "):
        compared(side("a", result=profile()), side("b", result=replace(profile(), models={"m": model(1, 1.0)})))
    with pytest.raises(InputError, match=r"--fail-on.*energy_mj:\+5%.*energy_mj"):
        compared(base, base, "energy_mj:+5%")


def test_measurements_of_different_devices_or_kinds_are_not_compared() -> None:
    base = side("base", result=profile())
    emulated = profile(1, pruned=9.0)
    models = {
        name: replace(by_name, latency_ms=replace(by_name.latency_ms, kind="emulated"))
        for name, by_name in emulated.models.items()
    }
    for new, text in (
        (profile(1, pruned=9.0, cpu="Cortex-A76"), "cpu was Cortex-A72, is Cortex-A76"),
        (replace(emulated, models=models), "kind was measured, is emulated"),
        (
            replace(profile(1, pruned=9.0), validity=Validity(False, ("throttled",), {}, 0.1, 1)),
            "the new measurement is not valid: throttled",
        ),
    ):
        comparison = compared(base, side("new", result=new))
        by_name = {change.key: change for change in comparison.changes}
        assert (by_name["latency_ms.p50"].direction, by_name["latency_ms.p50"].note) == ("not compared", text)
        assert comparison.failed == ()
        with pytest.raises(MeasurementError, match=rf"latency_ms\.p50 .*{text}"):
            compared(base, side("new", result=new), "latency_ms.p50:+5%")


def test_two_profiles_are_compared() -> None:
    both = replace(profile(), models={**profile().models, "int8": model(5, 0.5)})
    result = directions(compared(side("a", result=both), side("b", result=both)))
    assert result["latency_ms.p50"] == result["int8.latency_ms.p95"] == result["memory_bytes"] == "same"
    assert not any(key.startswith("dense") for key in result)
    assert compared(side("a", manifest(), profile()), side("b", result=profile(1))).changes


def test_every_output_format_has_the_same_verdict() -> None:
    comparison = compared(
        side("base", manifest(), profile()),
        side("new", manifest(accuracy=0.9, file_bytes=4000), profile(1, cpu="Other CPU")),
    )
    text = comparison_output.markdown(comparison)
    assert text.startswith("**digits for host: 1 regression**")
    assert "| accuracy | 99.00 % | 90.00 % | −9.00 points |" in text
    assert "**WORSE, beyond noise**" in text
    assert "cpu was Cortex-A72, is Other CPU" in text
    suite = ET.fromstring(comparison_output.junit(comparison))
    assert (suite.get("failures"), suite.get("skipped")) == ("1", "7")
    assert [case.get("name") for case in suite if case.find("failure") is not None] == ["accuracy"]
    assert all(case.get("classname") == "digits for host" for case in suite)
    values = json.loads(json.dumps(comparison_output.as_json(comparison), allow_nan=False))
    assert values["failed"] == ["accuracy"]
    assert {change["key"]: change["direction"] for change in values["changes"]} == directions(comparison)
    assert "accuracy went from 99.00 % to 90.00 % (−9.00 points" in comparison_output.sentence(
        comparison.failed[0], "accuracy"
    )


def test_microcontroller_costs_are_compared_without_a_profile() -> None:
    def board(arena: int) -> Manifest:
        kinds: dict[str, Any] = {"host_kind": "measured", "total_bytes": 1, "nonpersistent_bytes": 1, "by_kind": {}}
        arena_report = ArenaReport(**kinds, persistent_bytes=1, restated_bytes=1, scratch_bytes=1, arena_bytes=arena)
        flash = FlashReport(file_bytes=1, code={}, flash_bytes=9000, source="")
        footprint = FootprintReport(arena=arena_report, peak=PeakReport(operator="", name="", tensors=()), flash=flash)
        latency = LatencyEstimate(
            latency_ms=1, low_ms=1, high_ms=2, macs=1, clock_mhz=64, cycles_per_mac=(1, 2, 3), source=""
        )
        report = MicrocontrollerReport(dense=footprint, shipped=footprint, limits={}, latency=latency)
        return manifest().model_copy(update={"microcontroller": report})

    empty = replace(profile(), models={})
    comparison = compared(side("base", board(10_000), empty), side("new", board(12_000), empty))
    assert [change.key for change in comparison.failed] == ["arena_bytes"]
    assert {change.key: change.kind for change in comparison.changes}["flash_bytes"] == "estimated"
    with pytest.raises(InputError, match="base and new "):
        compared(side("base", result=empty), side("new", result=empty))


def results(correct: list[bool], split: str = "a") -> Evaluation:
    return Evaluation.of_classes(np.packbits(np.array(correct)).tobytes(), len(correct), split * 64)


def evaluated(name: str, correct: list[bool], *, split: str | None = "a", sha256: str = "1") -> BundleContent:
    """A bundle with results on each sample; ``split`` None: of a version that kept none."""
    output = manifest(accuracy=sum(correct) / len(correct), samples=len(correct))
    output = output.model_copy(update={"files": {"model.onnx": FileEntry(sha256=sha256 * 64, bytes=4000)}})
    return replace(side(name, output), evaluation=None if split is None else results(correct, split))


def accuracy(comparison: Comparison) -> QuantityChange:
    return next(change for change in comparison.changes if change.key == "accuracy")


_BASE = [True] * 372 + [False] * 28


def lost(count: int, gained: int = 0) -> list[bool]:
    """The results of the base, of which ``count`` are lost and ``gained`` gained."""
    return [False] * count + [True] * (372 - count + gained) + [False] * (28 - gained)


def test_a_loss_of_18_in_400_samples_fails_half_a_point_if_paired_and_is_undecided_if_not() -> None:
    base = evaluated("base", _BASE)
    paired = compared(base, evaluated("new", lost(18), sha256="2"), "accuracy:-0.5%")
    assert accuracy(paired).decision == "failed"
    assert "7.6e-06" in accuracy(paired).note
    for other in (
        evaluated("new", lost(18), split="b", sha256="2"),
        evaluated("new", lost(18), split=None, sha256="2"),
    ):
        comparison = compared(base, other, "accuracy:-0.5%")
        assert accuracy(comparison).decision == "undecided"
        assert not comparison.passed
        assert compare(base, other, [RegressionLimit.parse("accuracy:-0.5%")], undecided="pass").passed
        assert accuracy(compared(base, other)).decision == "failed"  # the default allows no significant loss


@pytest.mark.parametrize(
    ("losses", "gains", "limit", "decision"),
    [
        (18, 0, "accuracy:-8%", "passed"),
        (18, 0, "accuracy:-5%", "undecided"),
        (18, 0, "accuracy:-2%", "failed"),
        (
            0,
            0,
            "accuracy:-0.5%",
            "undecided",
        ),  # another model with the same results: so few samples exclude 0.95 points
        (0, 0, "accuracy:-1%", "passed"),
        (0, 18, "accuracy:-0.5%", "passed"),
        (5, 0, None, "passed"),
        (6, 0, None, "failed"),
        (40, 30, None, "passed"),
    ],
)
def test_a_limit_passes_or_fails_with_the_whole_interval(
    losses: int, gains: int, limit: str | None, decision: str
) -> None:
    base = [True] * 372 + [False] * 28
    new = [index >= losses for index in range(372)] + [index < gains for index in range(28)]
    if gains > 28:
        base, new = [True] * 340 + [False] * 60, [i >= losses for i in range(340)] + [i < gains for i in range(60)]
    rules = [] if limit is None else [limit]
    comparison = compared(evaluated("base", base), evaluated("new", new, sha256="2"), *rules)
    assert accuracy(comparison).decision == decision
    assert comparison.passed == (decision == "passed")


def test_the_same_model_with_the_same_accuracy_passes_any_limit() -> None:
    change = accuracy(compared(evaluated("base", _BASE), evaluated("new", _BASE), "accuracy:-0.01%"))
    assert (change.decision, change.low, change.high) == ("passed", 0.0, 0.0)


def test_an_undecided_accuracy_names_the_samples_that_would_decide() -> None:
    change = accuracy(compared(evaluated("base", _BASE), evaluated("new", lost(0), sha256="2"), "accuracy:-0.5%"))
    assert change.needed == pytest.approx(768, rel=0.02)
    exactly = accuracy(compared(evaluated("base", _BASE), evaluated("new", lost(2), sha256="2"), "accuracy:-0.5%"))
    assert (exactly.decision, exactly.needed) == ("undecided", None)


def test_a_latency_limit_inside_the_interval_is_undecided() -> None:
    base = side("base", manifest(), profile())
    new = side("new", manifest(), profile(1, pruned=1.2))

    def change(limit: str) -> QuantityChange:
        result = compared(base, new, f"latency_ms.p50:+{limit}").changes
        return next(one for one in result if one.key == "latency_ms.p50")

    assert [change(limit).decision for limit in ("5%", "20%", "40%")] == ["failed", "undecided", "passed"]
    assert [change(limit).decision for limit in ("50us", "200us", "400us")] == ["failed", "undecided", "passed"]
    assert change("20%").needed is None  # processes differ by 3 %
    needed = change("15.5%").needed
    assert needed is None or needed > 3


def test_losses_of_batches_are_paired() -> None:
    rng = random.Random(0)
    before = [rng.lognormvariate(0, 1) for _ in range(30)]

    def with_losses(name: str, losses: list[float]) -> BundleContent:
        output = manifest(accuracy=0.5, samples=1920)
        shipped = output.metrics.shipped.model_copy(update={"accuracy": -sum(losses) / 30})
        metrics = output.metrics.model_copy(update={"shipped": shipped})
        output = output.model_copy(update={"metric": "-loss", "metrics": metrics})
        result = Evaluation(split_sha256="a" * 64, samples=1920, losses=tuple(losses), batch_size=64)
        return replace(side(name, output), evaluation=result)

    base = with_losses("base", before)
    noise = with_losses("new", [loss + rng.gauss(0, 0.01) for loss in before])
    worse = with_losses("new", [loss + 0.05 + rng.gauss(0, 0.01) for loss in before])
    for new, expected in ((noise, "noise"), (worse, "worse")):
        files = {"model.onnx": FileEntry(sha256="2" * 64, bytes=4000)}
        assert new.manifest is not None
        result = accuracy(compared(base, replace(new, manifest=new.manifest.model_copy(update={"files": files}))))
        assert result.direction == expected
    assert accuracy(compared(base, worse, "accuracy:-0.05")).decision == "undecided"
    alone = replace(worse, evaluation=None)
    assert accuracy(compared(base, alone)).direction == "worse"  # by the values alone


def test_fractions_of_wrong_labels_are_paired_sample_by_sample() -> None:
    rng = random.Random(0)
    before = [rng.uniform(0, 0.4) for _ in range(400)]
    worse = [error + 0.01 + rng.gauss(0, 0.02) for error in before]

    def segmented(name: str, errors: list[float], sha256: str, split: str) -> BundleContent:
        output = manifest(accuracy=1 - sum(errors) / 400, samples=400)
        output = output.model_copy(update={"files": {"model.onnx": FileEntry(sha256=sha256 * 64, bytes=4000)}})
        result = Evaluation(split_sha256=split * 64, samples=400, losses=tuple(errors), batch_size=1)
        return replace(side(name, output), evaluation=result)

    base = segmented("base", before, "1", "a")
    paired = accuracy(compared(base, segmented("new", worse, "2", "a"), "accuracy:-0.5%"))
    assert (paired.direction, paired.decision) == ("worse", "failed")
    assert paired.low is not None
    assert paired.high is not None
    assert 0.007 < paired.low < 0.01 < paired.high < 0.013
    independent = accuracy(compared(base, segmented("new", worse, "2", "b"), "accuracy:-0.5%"))
    assert (independent.direction, independent.decision) == ("noise", "undecided")


def test_undecided_limits_show_in_every_output() -> None:
    base, new = evaluated("base", _BASE), evaluated("new", lost(18), split="b", sha256="2")
    rules = [RegressionLimit.parse("accuracy:-0.5%")]
    comparison = compare(base, new, rules)
    suite = ET.fromstring(comparison_output.junit(comparison))
    case = next(case for case in suite if case.get("name") == "accuracy")
    assert [(child.tag, child.get("type")) for child in case] == [("failure", "undecided")]
    assert (suite.get("failures"), suite.get("skipped")) == ("1", "0")
    passing = ET.fromstring(comparison_output.junit(compare(base, new, rules, undecided="pass")))
    assert (passing.get("failures"), passing.get("skipped")) == ("0", "1")
    values = json.loads(json.dumps(comparison_output.as_json(comparison), allow_nan=False))
    assert (values["passed"], values["failed"], values["undecided"]) == (False, [], ["accuracy"])
    (entry,) = (change for change in values["changes"] if change["key"] == "accuracy")
    assert entry["decision"] == "undecided"
    assert entry["needed"]["samples"] > 400
    assert "1 undecided" in comparison_output.markdown(comparison).splitlines()[0]
    assert "samples would decide" in comparison_output.sentence(accuracy(comparison), "accuracy")


def test_the_table_fits_80_columns_without_cutting_a_number() -> None:
    base, new = evaluated("base", _BASE), evaluated("new", lost(18), split="b", sha256="2")
    base, new = (
        replace(one, profile=profile(seed, pruned=pruned).to_json())
        for one, seed, pruned in ((base, 0, 123.4), (new, 1, 234.5))
    )
    rules = [RegressionLimit.parse(text) for text in ("accuracy:-0.5%", "latency_ms.p50:+5%", "latency_ms.p99:+100%")]
    printed = io.StringIO()
    comparison = compare(base, new, rules)
    Console(file=printed, width=80).print(comparison_output.render(comparison))
    assert "…" not in printed.getvalue()
    for change in comparison_output.visible(comparison):
        for cell in comparison_output.cells(change, "accuracy")[:5]:
            assert cell.removesuffix(" points") in printed.getvalue()
