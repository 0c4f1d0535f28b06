"""``edgeprune compare``: its exit codes, its forms, and what it loads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgeprune.bundle import evaluation, pack
from edgeprune.bundle.evaluation import Evaluation
from edgeprune.bundle.manifest import AllMetrics, Manifest, Metrics, Provenance
from edgeprune.bundle.parity_report import ParityReport
from edgeprune.cli import run


def bundle(
    folder: Path, *, macs: int = 1000, target: str = "host", correct: list[bool] | None = None, model: bytes = b"1"
) -> Path:
    accuracy, samples = (0.99, 355) if correct is None else (sum(correct) / len(correct), len(correct))
    metrics = Metrics(macs=macs, params=100, accuracy=accuracy, samples=samples, file_bytes=4000)
    manifest = Manifest(
        recipe="digits",
        target=target,
        metrics=AllMetrics(dense=metrics, pruned=metrics, shipped=metrics),
        parity=ParityReport(max_error=0, mean_error=0, relative_error=0, top1_agreement=1, samples=1),
        budgets=(),
        provenance=Provenance(packages={}, python="3.11", seed=0, inputs={}),
    )
    contents: dict[str, pack.Content] = {"model.onnx": model}
    if correct is not None:
        bits = sum(hit << (-samples % 8 + samples - 1 - index) for index, hit in enumerate(correct))
        packed = bits.to_bytes(-(-samples // 8), "big")
        contents[evaluation.NAME] = Evaluation.of_classes(packed, samples, "a" * 64).to_json()
    return pack.write(folder / f"digits-{target}", contents, manifest).folder


def test_exit_code_reports_whether_the_bundle_may_replace_the_base(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    base, new = str(bundle(tmp_path / "main")), str(bundle(tmp_path / "branch", macs=1100))
    assert run(["compare", base, base]) == 0
    assert run(["compare", new, f"{base}.tar.gz"]) == 0
    capsys.readouterr()
    junit = tmp_path / "deep" / "compare.xml"
    assert run(["compare", base, new, "--junit", str(junit), "--json"]) == 4
    printed = capsys.readouterr()
    assert json.loads(printed.out)["failed"] == ["macs"]
    assert "error: regression: macs went from 1 k to 1.1 k (+10.0 %; WORSE, 1 % is allowed)" in printed.err
    assert 'failures="1"' in junit.read_text()
    assert run(["compare", base, new, "--fail-on", "macs:+20%", "--fail-on", "accuracy:-1%", "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("**digits for host: no regression**")
    assert run(["compare", base, new, "--fail-on", "macs:+20%"]) == 0
    assert "+10.0 %" in capsys.readouterr().out
    assert (tmp_path / "summary.md").read_text().count("digits for host") == 5


def test_paired_loss_fails_and_undecided_limit_follows_the_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = bundle(tmp_path / "base", correct=[True] * 372 + [False] * 28)
    worse = bundle(tmp_path / "worse", correct=[True] * 354 + [False] * 46, model=b"2")
    limit = ["--fail-on", "accuracy:-0.5%"]
    # Folders and archives hold the same results.
    for one, other in ((base, worse), (f"{base}.tar.gz", f"{worse}.tar.gz")):
        assert run(["compare", str(one), str(other), *limit, "--undecided", "pass", "--json"]) == 4
        values = json.loads(capsys.readouterr().out)
        assert (values["failed"], values["undecided"], values["passed"]) == (["accuracy"], [], False)
    close = ["compare", str(base), str(worse), "--fail-on", "accuracy:-4%"]
    junit = tmp_path / "compare.xml"
    assert run([*close, "--junit", str(junit)]) == 4
    assert 'type="undecided"' in junit.read_text()
    assert "samples would decide" in " ".join(capsys.readouterr().err.split())
    assert run([*close, "--undecided", "fail"]) == 4
    assert run([*close, "--undecided", "pass", "--junit", str(junit)]) == 0
    assert 'failures="0"' in junit.read_text()
    assert run([*close, "--undecided", "perhaps"]) == 2


def test_bundles_that_cannot_be_compared_are_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, new = str(bundle(tmp_path)), str(bundle(tmp_path, target="rpi"))
    assert run(["compare", base, new]) == 3
    assert "'rpi'" in capsys.readouterr().err
    assert run(["compare", base, str(tmp_path / "nothing")]) == 3
    assert run(["compare", base, base, "--fail-on", "latency_ms.p50:+5%"]) == 3
    assert run(["compare", base, base, "--fail-on", "macs:5"]) == 2
    assert run(["compare", base, base, "--json", "--markdown"]) == 2


@pytest.mark.long
def test_quick_commands_import_no_heavy_package(tmp_path: Path) -> None:
    folder = bundle(tmp_path)
    lines = [["compare", str(folder), str(folder)], ["targets"], ["recipes"]]
    code = (
        "import json, sys\nfrom edgeprune.cli import run\n"
        "assert run(json.loads(sys.argv[1])) == 0\n"
        "print([name for name in ('torch', 'onnx', 'onnxruntime', 'numpy', 'scipy') if name in sys.modules])"
    )
    for line in lines:
        ended = subprocess.run(
            [sys.executable, "-c", code, json.dumps(line)], capture_output=True, text=True, check=True
        )
        assert ended.stdout.splitlines()[-1] == "[]", line
