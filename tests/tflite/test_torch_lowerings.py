"""Networks of torch through ONNX to TFLite: float files equal torch, and int8 files are close on both runtimes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from edgeprune.backends.litert.litert_session import LiteRTSession
from edgeprune.backends.tflm.interpreter import Interpreter
from edgeprune.export.onnx_export import export
from edgeprune.model.data import TensorSplit
from edgeprune.tflite.conversion import TfliteConversion, convert
from edgeprune.tflite.tflite_quantizing import quantize
from tests.tflite.lowered_networks import CASES

_SAMPLES = 24


def _converted(name: str, folder: Path) -> tuple[TfliteConversion, Tensor, np.ndarray]:
    """The float file, samples, and what torch computes of them."""
    torch.manual_seed(0)
    network = CASES[name].build().eval()
    samples = torch.randn(_SAMPLES, *CASES[name].shape)
    path = export(network, (samples[:1],), folder / "network.onnx").path
    with torch.no_grad():
        expected = torch.cat([network(sample[None]) for sample in samples]).numpy()
    return convert(path, folder / "float.tflite"), samples, expected


def _predicted(session: LiteRTSession | Interpreter, samples: Tensor) -> np.ndarray:
    return np.concatenate([session.predict(sample[None].numpy())[0] for sample in samples])


@pytest.mark.parametrize("name", CASES)
def test_float_files_equal_torch(name: str, tmp_path: Path) -> None:
    source, samples, expected = _converted(name, tmp_path)
    np.testing.assert_allclose(_predicted(LiteRTSession(source.path), samples), expected, atol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_int8_files_are_close_to_torch(name: str, tmp_path: Path) -> None:
    source, samples, expected = _converted(name, tmp_path)
    split = TensorSplit(samples, torch.zeros(_SAMPLES, dtype=torch.int64))
    result = quantize(source, tmp_path / "int8.tflite", split)
    got = _predicted(LiteRTSession(result.path), samples)
    assert np.sqrt(np.square(got - expected).mean() / expected.var()) <= CASES[name].int8_error
    on_micro = _predicted(Interpreter(result.path, result.inputs, result.outputs), samples[:4])
    assert np.abs(on_micro - got[:4]).max() <= 3.01 * result.outputs[0].scale


def test_last_step_alone_needs_no_concatenation(tmp_path: Path) -> None:
    source, *_ = _converted("lstm", tmp_path)
    assert "CONCATENATION" not in source.operators
    assert source.operators["TANH"] == 2 * 12
