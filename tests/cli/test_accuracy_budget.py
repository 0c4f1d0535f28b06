"""A missed accuracy budget while other budget is left: the build prunes less before it gives up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeprune.bundle.manifest import Manifest
from edgeprune.bundle.verification import verify
from edgeprune.cli import run
from tests.cli.own import NETWORK

pytestmark = pytest.mark.long

_ARGUMENTS = [
    "build", "--model", "net.py:make", "--data", "net.py:data", "--input", "1,1,8,8", "--target", "raspberry-pi-4",
    "--epochs", "0", "--budget", "macs=0.4", "--criterion", "l2", "--set", "prune.selection=global", "--json",
    "--set", "quantize.precision=float32",
]  # fmt: skip


@pytest.fixture(autouse=True)
def wide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of 16 channels, of which the target prefers 8 or 16, and labels that nothing can learn."""
    network = NETWORK.replace("12", "16").replace("images = torch.rand", "images = 0 * torch.rand")
    (tmp_path / "net.py").write_text(network.replace(" + labels[:, None, None, None]", ""))
    monkeypatch.chdir(tmp_path)


def _build(capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict[str, float], str]:
    code = run([*_ARGUMENTS, *more])
    printed = capsys.readouterr()
    manifest = json.loads(printed.out)["manifest"]
    used = {report["name"]: report["value"] / report["limit"] for report in manifest["budgets"]}
    return code, used, printed.err


def test_more_of_the_budget_is_used_and_the_error_names_ways_out(capsys: pytest.CaptureFixture[str]) -> None:
    aligned = ("--set", "prune.align=target")
    code, used, _ = _build(capsys, *aligned)
    assert code == 0
    assert used["macs"] < 0.9, "the preferred channel counts leave budget"
    code, used, errors = _build(capsys, *aligned, "--budget", "accuracy=0.9")
    assert code == 4
    assert used["accuracy"] < 1
    assert 0.9 < used["macs"] <= 1
    for way in ("--criterion", "--budget macs=", "training.epochs"):
        assert way in errors.splitlines()[-1]
    verify(Path("dist/net-make-raspberry-pi-4"))


_METRICS = """
def largest(model, split):
    return max(float(model(images).abs().max()) for images, _ in split.batches(16)) - 9

def smallest(model, split):
    return -largest(model, split) - 18
"""


def test_only_the_more_accurate_network_is_packed(capsys: pytest.CaptureFixture[str]) -> None:
    network = Path("net.py")
    network.write_text(network.read_text().replace("0 * torch.rand", "torch.rand") + _METRICS)
    uses = []
    for metric in ("largest", "smallest"):  # one of them ranks the first network higher, the other one the second
        more = (
            "--set",
            "prune.align=target",
            "--budget",
            "macs=0.33",
            "--budget",
            "accuracy=0.9",
            "--set",
            f"training.metric=net.py:{metric}",
        )
        for cached in (False, True):
            code, used, errors = _build(capsys, *more)
            assert code == 4
            assert "building again" in errors
            (packed,) = [line for line in errors.splitlines() if line.startswith("stage ") and "  bundle  " in line]
            assert packed.endswith("cached") == cached
        verify(Path("dist/net-make-raspberry-pi-4"))
        uses.append(used["macs"])
        assert ("packing it" in errors) == (used["macs"] < 0.9)
    assert min(uses) < 0.9 < max(uses)


def test_explicit_alignment_is_satisfied(capsys: pytest.CaptureFixture[str]) -> None:
    code, used, _ = _build(capsys, "--set", "prune.align=8", "--budget", "accuracy=0.9")
    assert code == 4
    assert used["macs"] < 0.9
    assert Manifest.load(Path("dist/net-make-raspberry-pi-4")).metrics.shipped.accuracy is not None
