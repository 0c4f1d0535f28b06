"""The picture of the sensitivity: a whole PNG for any network, the same for the same numbers."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edgeprune.report.sensitivity_plot import fraction_text, largest_change, png
from edgeprune.selection.sensitivity_scan import RATIOS, GroupSensitivity, ScanPoint, SensitivityScan


def _measured(groups: int, *, accuracy: float | None = 0.9, name: str = "layer{}.conv1") -> SensitivityScan:
    def point(at: int, ratio: float) -> ScanPoint:
        remaining = None if accuracy is None else accuracy * (1 - ratio * at / groups)
        return ScanPoint(ratio, round(16 * (1 - ratio)), 0.01 * ratio * (1 + at), 0.5 + ratio * at, remaining)

    results = [
        GroupSensitivity(name.format(at), 16, tuple(point(at, ratio) for ratio in RATIOS)) for at in range(groups)
    ]
    return SensitivityScan(256, 0.5, accuracy, tuple(results))


def _scores(measured: SensitivityScan, factor: float = 1.0) -> dict[str, list[float]]:
    rng = np.random.default_rng(0)
    return {group.group: list(factor * rng.random(group.units)) for group in measured.groups}


def _drawn(measured: SensitivityScan, scores: dict[str, list[float]] | None = None) -> bytes:
    return png(measured, _scores(measured) if scores is None else scores, title="resnet", criterion="l2")


def _colours(content: bytes) -> set[tuple[int, ...]]:
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        assert image.format == "PNG"
        assert min(image.size) > 600
        return {colour[:3] for _, colour in image.convert("RGB").getcolors(1 << 24) or ()}


@pytest.mark.long
@pytest.mark.parametrize("groups", [1, 2, 7, 30, 150])
def test_any_number_of_groups_is_drawn(groups: int) -> None:
    colours = _colours(_drawn(_measured(groups)))
    assert (0xD5, 0x5E, 0x00) in colours
    assert ((0x00, 0x72, 0xB2) in colours) == (groups > 1)


@pytest.mark.long
def test_the_same_numbers_give_the_same_file_and_others_another() -> None:
    measured = _measured(5)
    first = _drawn(measured)
    assert _drawn(measured) == first
    assert _drawn(measured, _scores(measured, 2.0)) != first
    assert _drawn(replace(measured, accuracy=0.8)) != first


@pytest.mark.long
@pytest.mark.parametrize("factor", [0.0, 1e-12, 1e12])
def test_scores_of_any_size_are_drawn(factor: float) -> None:
    measured = _measured(5)
    scores = _scores(measured, factor)
    scores["layer0.conv1"][0] = 0.0
    scores["layer1.conv1"][0] = 1.0
    _colours(_drawn(measured, scores))
    _colours(_drawn(measured, _scores(measured, factor)))


@pytest.mark.long
def test_a_network_without_classes_a_name_with_an_underscore_and_a_group_without_macs_are_drawn() -> None:
    _colours(_drawn(_measured(5, accuracy=None)))
    _colours(_drawn(_measured(5, name="_stem{}")))
    free = _measured(2)
    points = tuple(replace(point, macs_removed=0.0) for point in free.groups[0].points)
    _colours(_drawn(replace(free, groups=(replace(free.groups[0], points=points), free.groups[1]))))


def test_sensitivity_is_the_mean_loss_over_the_ratios() -> None:
    points = (ScanPoint(0.25, 12, 0.1, 0.7, 0.8), ScanPoint(0.5, 8, 0.2, 1.1, 0.5))
    measured = SensitivityScan(100, 0.4, 0.9, (GroupSensitivity("conv", 16, points),))
    assert largest_change(measured, measured.groups[0]) == pytest.approx((0.25, 0.5))
    bare = tuple(replace(point, accuracy=None) for point in points)
    measured = SensitivityScan(100, 0.4, None, (GroupSensitivity("conv", 16, bare),))
    assert largest_change(measured, measured.groups[0]) == pytest.approx((0.0, 0.5))


def test_ratios_are_printed_as_fractions() -> None:
    assert [fraction_text(ratio) for ratio in RATIOS] == ["1/8", "1/4", "1/2", "3/4", "7/8"]
