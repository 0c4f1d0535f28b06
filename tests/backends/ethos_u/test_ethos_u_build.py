"""A build of the digits recipe for a board with an Ethos-U."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgeprune.backends.ethos_u import vela
from edgeprune.backends.ethos_u.ethos_u_options import Options
from edgeprune.bundle.manifest import Manifest
from edgeprune.config import Recipe, Target
from edgeprune.pipeline import build
from edgeprune.pipeline.build_settings import preferred_alignment

pytestmark = pytest.mark.long
_TARGET = Target.load("corstone-300-u55-128")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("build")
    recipe = Recipe.load("digits").override({"training.epochs": 2, "prune.samples": 64})
    assert preferred_alignment(recipe, _TARGET) == 16
    return build(recipe, _TARGET, output=folder / "dist", cache=folder / "cache").folder


def test_manifest_has_the_estimates_of_vela(bundle: Path) -> None:
    manifest = Manifest.load(bundle)
    report = manifest.microcontroller
    assert report is not None
    assert report.dense.compiler is not None
    assert report.shipped.compiler is not None
    for item in (report.dense.compiler, report.shipped.compiler):
        assert (item.name, item.kind, item.fallback) == ("Vela", "estimated", ())
    assert report.shipped.arena.host_kind == "estimated"
    assert report.shipped.compiler.cycles < report.dense.compiler.cycles
    assert report.shipped.compiler.sram_bytes == report.shipped.arena.nonpersistent_bytes
    assert report.latency.source == "Vela estimate"
    assert report.latency.cycles == report.shipped.compiler.cycles
    assert report.latency.latency_ms == report.shipped.compiler.cycles / 32e3
    assert manifest.metrics.shipped.predicted_latency_ms == report.latency.latency_ms
    assert report.dense_latency is not None
    assert manifest.metrics.dense.predicted_latency_ms == report.dense_latency.latency_ms
    assert report.agreement is not None
    page = (bundle / "report.html").read_text(encoding="utf-8")
    assert f"{report.shipped.compiler.cycles:,}" in page
    assert "Estimates of Vela" in page


def test_bundle_has_the_int8_and_the_compiled_file(bundle: Path, tmp_path: Path) -> None:
    again = vela.compile_file(bundle / "model.tflite", tmp_path / "again.tflite", Options.of(_TARGET))
    assert (bundle / "model-vela.tflite").read_bytes() == again.file.read_bytes()
    assert vela.operators(vela.read(again.file)) == ["ethos-u"]


def test_firmware_has_the_compiled_file_and_its_operators(bundle: Path) -> None:
    firmware = bundle / "firmware"
    source = (firmware / "model_data.cc").read_text(encoding="utf-8")
    content = bytes(int(byte, 16) for byte in re.findall(r"0x([0-9a-f]{2})", source))
    assert content == (bundle / "model-vela.tflite").read_bytes()
    resolver = (firmware / "op_resolver.h").read_text(encoding="utf-8")
    assert re.findall(r"->(Add\w+)\(\)", resolver) == ["AddEthosU"]
    readme = (firmware / "README.md").read_text(encoding="utf-8")
    assert "ethos-u-core-driver" in readme
    assert "ETHOSU_ARCH=u55" in readme
    assert "$" not in readme.replace("$firmware", "")
