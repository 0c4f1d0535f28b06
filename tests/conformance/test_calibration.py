"""Every calibration method finds ranges that hold what was seen, and keeps a trained network's accuracy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from edgeprune.quantize import METHODS, Method, quantize
from edgeprune.quantize.activation_ranges import calibrate
from edgeprune.quantize.calibration_samples import CalibrationSamples
from edgeprune.quantize.prepare_onnx import PreparedModel, prepare
from tests.quantize.digits import accuracy, digits, trained, write

_every_method = pytest.mark.parametrize("method", METHODS)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(trained(), tmp_path_factory.mktemp("float") / "float.onnx")


@pytest.fixture(scope="module")
def prepared(source: Path) -> PreparedModel:
    return prepare(source)


def _ranges(
    prepared: PreparedModel, method: Method, *, count: int = 64, seed: int = 0
) -> dict[str, tuple[float, float]]:
    samples = CalibrationSamples(digits().train, count, seed)
    result = calibrate(prepared, samples, method=method)
    return {name: tuple(np.asarray(end).item() for end in data.range_value) for name, data in result.items()}


@pytest.mark.long
@_every_method
def test_calibration_keeps_the_accuracy(method: Method, source: Path, tmp_path: Path) -> None:
    result = quantize(source, tmp_path / "int8.onnx", digits().train, method=method)
    assert accuracy(result.path) >= accuracy(source) - 0.015


@pytest.mark.long
@_every_method
def test_ranges_are_within_the_observed_values(method: Method, prepared: PreparedModel) -> None:
    calls = _ranges(prepared, "minmax")
    result = _ranges(prepared, method)
    assert result.keys() == calls.keys()
    for name, (low, high) in result.items():
        assert calls[name][0] <= low <= high <= calls[name][1]
        assert high - low >= 0.3 * (calls[name][1] - calls[name][0])


def test_minmax_ranges_equal_extremes_of_the_network(prepared: PreparedModel) -> None:
    session = onnxruntime.InferenceSession(prepared.model.SerializeToString(), providers=["CPUExecutionProvider"])
    samples = list(CalibrationSamples(digits().train, 64))
    logits = np.concatenate([session.run(None, {prepared.input_name: sample})[0] for sample in samples])
    result = _ranges(prepared, "minmax")
    assert result["output"] == pytest.approx((logits.min(), logits.max()), rel=1e-5)
    assert result["input"] == pytest.approx((np.min(samples), np.max(samples)), rel=1e-6)


@pytest.mark.long
@_every_method
def test_the_same_samples_give_the_same_ranges_and_others_do_not(method: Method, prepared: PreparedModel) -> None:
    first = _ranges(prepared, method, count=32)
    assert _ranges(prepared, method, count=32) == first
    assert _ranges(prepared, method, count=32, seed=1) != first


@pytest.mark.long
@_every_method
def test_one_sample_is_enough_to_run(method: Method, prepared: PreparedModel) -> None:
    assert all(low <= high for low, high in _ranges(prepared, method, count=1).values())
