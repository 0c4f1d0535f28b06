"""Networks of torch through ONNX to TFLite: float files equal torch, and int8 files are close on both runtimes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgeprune.backends.litert.litert_session import LiteRTSession
from edgeprune.backends.tflm.interpreter import Interpreter
from edgeprune.export.onnx_export import export
from edgeprune.model.data import TensorSplit
from edgeprune.tflite.conversion import TfliteConversion, convert
from edgeprune.tflite.tflite_quantizing import quantize

_SAMPLES = 24


class Recurrent(nn.Module):
    def __init__(self, kind: str, *, last: bool, **options: object) -> None:
        super().__init__()
        self.recurrent = getattr(nn, kind)(5, 8, batch_first=True, **options)
        self.head = nn.Linear(16 if options.get("bidirectional") else 8, 3)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        sequence, _ = self.recurrent(x)
        result: Tensor = self.head(sequence[:, -1] if self.last else sequence)
        return result


_RECURRENT: dict[str, Callable[[], nn.Module]] = {
    "lstm": lambda: Recurrent("LSTM", last=True),
    "lstm-sequence": lambda: Recurrent("LSTM", last=False, bidirectional=True, num_layers=2),
    "gru": lambda: Recurrent("GRU", last=True, num_layers=2),
    "gru-sequence": lambda: Recurrent("GRU", last=False, bidirectional=True),
    "rnn": lambda: Recurrent("RNN", last=True),
    "rnn-relu": lambda: Recurrent("RNN", last=False, nonlinearity="relu"),
}
_NETWORKS = {name: (make, (12, 5)) for name, make in _RECURRENT.items()}


def _converted(name: str, folder: Path) -> tuple[TfliteConversion, Tensor, np.ndarray]:
    """The float file, samples, and what torch computes of them."""
    make, shape = _NETWORKS[name]
    torch.manual_seed(0)
    network = make().eval()
    samples = torch.randn(_SAMPLES, *shape)
    path = export(network, (samples[:1],), folder / "network.onnx").path
    with torch.no_grad():
        expected = torch.cat([network(sample[None]) for sample in samples]).numpy()
    return convert(path, folder / "float.tflite"), samples, expected


def _predicted(session: LiteRTSession | Interpreter, samples: Tensor) -> np.ndarray:
    return np.concatenate([session.predict(sample[None].numpy())[0] for sample in samples])


@pytest.mark.parametrize("name", _NETWORKS)
def test_float_files_equal_torch(name: str, tmp_path: Path) -> None:
    source, samples, expected = _converted(name, tmp_path)
    np.testing.assert_allclose(_predicted(LiteRTSession(source.path), samples), expected, atol=1e-4)


@pytest.mark.parametrize("name", _NETWORKS)
def test_int8_files_are_close_to_torch(name: str, tmp_path: Path) -> None:
    source, samples, expected = _converted(name, tmp_path)
    split = TensorSplit(samples, torch.zeros(_SAMPLES, dtype=torch.int64))
    result = quantize(source, tmp_path / "int8.tflite", split)
    got = _predicted(LiteRTSession(result.path), samples)
    assert np.sqrt(np.square(got - expected).mean() / expected.var()) <= 0.05
    on_micro = _predicted(Interpreter(result.path, result.inputs, result.outputs), samples[:4])
    assert np.abs(on_micro - got[:4]).max() <= 3.01 * result.outputs[0].scale


def test_last_step_alone_needs_no_concatenation(tmp_path: Path) -> None:
    source, *_ = _converted("lstm", tmp_path)
    assert "CONCATENATION" not in source.operators
    assert source.operators["TANH"] == 2 * 12
