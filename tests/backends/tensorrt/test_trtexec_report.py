"""Exports of trtexec: recorded ones of older and newer releases, and broken ones."""

from __future__ import annotations

import pytest

from edgeprune.backends.tensorrt.trtexec_report import LayerTime, read_profile
from edgeprune.errors import DeviceError

PROFILE = (
    '[ { "count" : 41400 } , { "name" : "/conv1/Conv + /act1/Relu", "timeMs" : 1160.78, "averageMs" : 0.0280382, '
    '"medianMs" : 0.027872, "percentage" : 100 } ]'
)


def test_the_time_of_each_layer() -> None:
    (layer,) = read_profile(PROFILE)
    assert layer == LayerTime("/conv1/Conv + /act1/Relu", 0.0280382, 0.027872, 1.0)


def test_older_releases_give_no_median() -> None:
    (layer,) = read_profile(PROFILE.replace('"medianMs" : 0.027872, ', ""))
    assert (layer.mean_ms, layer.median_ms) == (0.0280382, None)


@pytest.mark.parametrize("text", [PROFILE[:end] for end in range(0, len(PROFILE) - 1, 7)])
def test_a_profile_that_is_cut_off_is_refused(text: str) -> None:
    with pytest.raises(DeviceError, match="--exportProfile"):
        read_profile(text)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "null",
        "[1]",
        '[{"name": "x"}]',
        '[{"name": "x", "averageMs": NaN, "percentage": 1}]',
        '[{"name": "x", "averageMs": -1, "percentage": 1}]',
        '[{"name": "x", "averageMs": "1", "percentage": 1}]',
        '[{"name": 3, "averageMs": 1, "percentage": 1}]',
    ],
)
def test_other_profiles_are_refused(text: str) -> None:
    with pytest.raises(DeviceError, match="--exportProfile"):
        read_profile(text)
