"""The first figures of the page: what decides on a microcontroller, a loss in red, verdicts on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeprune.bundle.manifest import Manifest
from edgeprune.bundle.microcontroller_report import (
    ArenaReport,
    FlashReport,
    FootprintReport,
    LatencyEstimate,
    MicrocontrollerReport,
    PeakReport,
)
from edgeprune.report import profile_output, report_page
from tests.report import browser
from tests.report.browser import Browser
from tests.report.samples import facts, manifest, profile


def _on_a_board() -> Manifest:
    footprints = []
    for arena in (200_000, 61_440):
        parts: dict[str, Any] = {
            "host_kind": "measured",
            "total_bytes": arena,
            "nonpersistent_bytes": 1,
            "persistent_bytes": 1,
        }
        footprints.append(
            FootprintReport(
                arena=ArenaReport(**parts, by_kind={}, restated_bytes=1, scratch_bytes=1, arena_bytes=arena),
                peak=PeakReport(operator="CONV_2D", name="conv", tensors=()),
                flash=FlashReport(file_bytes=1, code={}, flash_bytes=90_000, source=""),
            )
        )
    latency = LatencyEstimate(
        latency_ms=12.5, low_ms=6.25, high_ms=25, macs=1, clock_mhz=64, cycles_per_mac=(1, 2, 3), source=""
    )
    limits = {"arena_bytes": 131_072, "flash_bytes": 1_048_576}
    board = MicrocontrollerReport(dense=footprints[0], shipped=footprints[1], limits=limits, latency=latency)
    return manifest(ok=False).model_copy(update={"microcontroller": board})


def _shipped_with(accuracy: float, result: Manifest) -> Manifest:
    dense = result.metrics.dense.model_copy(update={"accuracy": 0.93, "samples": 4000})
    shipped = result.metrics.shipped.model_copy(update={"accuracy": accuracy, "samples": 4000})
    metrics = result.metrics.model_copy(update={"dense": dense, "shipped": shipped})
    return result.model_copy(update={"metrics": metrics, "pairs": None})


def _tiles(result: Manifest) -> list[str]:
    tiles = report_page.render(result, facts()).partition('class="tiles">')[2].partition("</ul>")[0]
    return tiles.split("<li>")[1:]


def test_microcontroller_begins_with_arena_flash_and_latency() -> None:
    tiles = _tiles(_on_a_board())
    for tile, parts in zip(
        tiles,
        [("arena", "61.44 kB", "131.1 kB"), ("flash", "90 kB", "1.049 MB"), ("latency", "12.5 ms", "6.25 to 25 ms")],
        strict=False,
    ):
        assert all(part in tile for part in (*parts, "estimated"))
    assert "arena" not in _tiles(manifest())[0]


def test_significant_loss_of_accuracy_is_red() -> None:
    assert not any("change bad" in tile for tile in _tiles(_shipped_with(0.93, manifest())))
    assert ["change bad" in tile for tile in _tiles(_shipped_with(0.82, manifest())) if "accuracy" in tile] == [True]


def test_valid_figures_that_vary_come_with_advice() -> None:
    def compare_with_limit(variation: float) -> str:
        result = profile()
        models = {
            name: replace(model, latency_ms=replace(model.latency_ms, variation=variation))
            for name, model in result.models.items()
        }
        (note,) = (note for note in profile_output.notes(replace(result, models=models)) if note.startswith("Valid"))
        return note

    assert "rely" not in compare_with_limit(0.05)
    assert "409%" in compare_with_limit(4.09)
    assert "rely on the median" in compare_with_limit(4.09)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = browser.find()
    if program is None:
        pytest.skip("no chromium here: scripts/system installs it")
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(report_page.render(_shipped_with(0.82, _on_a_board()), facts(), profile()), encoding="utf-8")
    with browser.started(program) as started:
        started.look(390)
        started.open(file)
        yield started


@pytest.mark.long
def test_verdicts_are_visible_on_a_phone(opened: Browser, tmp_path: Path) -> None:
    rights = opened.evaluate(
        "[...document.querySelectorAll('#summary td :is(.good, .bad)')].map(e => e.getBoundingClientRect().right)"
    )
    assert rights
    assert max(rights) <= 390
    opened.screenshot(tmp_path / "phone.png")
