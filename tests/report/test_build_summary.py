"""The line of each target in the summary of a build."""

from __future__ import annotations

from edgeprune.bundle.budget_report import BudgetReport
from edgeprune.bundle.manifest import Manifest, Platform, PrecisionReport
from edgeprune.profile import Profile
from edgeprune.report.build_summary import COLUMNS, BuildOutcome, FinishedBuild, cells, markdown
from tests.report.test_comparison import manifest, profile


def made(
    ships: str = "float32",
    *,
    architecture: str | None = None,
    result: Profile | None = None,
    predicted_ms: float | None = 7.0,
) -> FinishedBuild:
    output: Manifest = manifest(predicted_latency_ms=predicted_ms).model_copy(
        update={
            "precision": PrecisionReport(shipped=ships, reason="", candidates={}),
            "platform": Platform(runtime="onnxruntime", architecture=architecture),
        }
    )
    return FinishedBuild(
        output, result or profile(), (BudgetReport(name="macs", limit=5, value=9, margin=-4, ok=False),)
    )


def line(outcome: BuildOutcome) -> dict[str, str]:
    return dict(zip(COLUMNS, cells(outcome), strict=True))


def test_latency_has_its_provenance() -> None:
    output = line(BuildOutcome("rpi", 4, "budget missed", made()))
    assert output["latency p50"].endswith(" ms, measured")
    assert (output["budgets"], output["exit"], output["accuracy"]) == ("0 of 1 kept", "4", "99.00 %")
    assert line(BuildOutcome("rpi", finished=made(architecture="riscv64")))["latency p50"].endswith(
        " ms on this machine"
    )
    # Of a form that was not measured there is the prediction alone.
    assert line(BuildOutcome("jetson", finished=made("int8")))["latency p50"] == "7 ms, estimated"
    assert line(BuildOutcome("jetson", finished=made("int8", predicted_ms=None)))["latency p50"] == "not measured"


def test_markdown_has_every_target_and_every_verdict() -> None:
    text = markdown([BuildOutcome("rpi", 4, "budget missed: macs", made()), BuildOutcome("host", 3, "no such data")])
    assert "| rpi | float32 |" in text
    assert "| host |  |  |  |  |  | failed | 3 |" in text
    assert "| macs | 9 | at most 5 | " in text
    assert "**host: no such data**" in text
    assert "| rpi |" not in markdown([BuildOutcome("rpi", finished=made())])
