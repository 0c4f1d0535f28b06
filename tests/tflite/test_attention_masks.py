"""Bounds of constant masks in int8, and guards against rows that are masked as a whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from ai_edge_litert import schema_py_generated as schema
from torch import Tensor, nn

from edgeprune.backends.litert.litert_session import LiteRTSession
from edgeprune.errors import ModelError
from edgeprune.export.onnx_export import export
from edgeprune.model.data import TensorSplit
from edgeprune.tflite.attention_masks import bound_masks, find_masks
from edgeprune.tflite.conversion import convert
from edgeprune.tflite.tflite_quantizing import quantize
from tests.tflite.tflite_files import FLOAT, File


def _masked(*, mask: np.ndarray, read_twice: bool = False) -> schema.ModelT:
    """Scores plus a mask, and their SOFTMAX; the mask may be added to other values, too."""
    file = File()
    x, other = file.tensor("x", (2, 3), FLOAT), file.tensor("other", (2, 3), FLOAT)
    constant = file.tensor("mask", (2, 3), FLOAT, mask.astype(np.float32))
    total, weights, y = (file.tensor(name, (2, 3), FLOAT) for name in ("total", "weights", "y"))
    file.op("ADD", (x, constant), (total,), schema.AddOptionsT())
    file.op("SOFTMAX", (total,), (weights,), schema.SoftmaxOptionsT(beta=1.0))
    file.op("ADD", (other, constant if read_twice else weights), (y,), schema.AddOptionsT())
    return file.model((x, other), (weights, y))


_LATER = np.array([[0, -np.inf, -np.inf], [0, 0, -np.inf]])


def test_mask_is_clipped_below_the_range_of_the_scores() -> None:
    model = _masked(mask=_LATER)
    (mask,) = find_masks(model)
    mask.observe(np.array([[1.5, -np.inf, -np.inf], [0.5, 4.0, -np.inf]]))
    end = 1.5 - 6 - np.log(3)
    assert mask.end == pytest.approx(end)
    ends = bound_masks(model, [mask], {mask.sums[0]: -np.inf}, {mask.scores: 5.0})
    assert ends == {mask.sums[0]: pytest.approx(end)}
    stored = model.buffers[model.subgraphs[0].tensors[mask.constant].buffer].data
    values = np.frombuffer(bytes(stored), np.float32).reshape(2, 3)
    np.testing.assert_allclose(values, np.where(_LATER < 0, end - 5, 0), rtol=1e-6)


@pytest.mark.parametrize(
    "model", [_masked(mask=_LATER, read_twice=True), _masked(mask=np.full((2, 3), -1.5)), _masked(mask=-_LATER)]
)
def test_other_constants_are_not_masks(model: schema.ModelT) -> None:
    assert find_masks(model) == []


class _FirstRowMasked(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        mask = torch.ones(5, 5, dtype=torch.bool).tril(-1)
        return F.scaled_dot_product_attention(x, x, x, attn_mask=mask)


def test_a_row_that_is_masked_as_a_whole_keeps_its_guard(tmp_path: Path) -> None:
    torch.manual_seed(0)
    samples = torch.randn(8, 5, 4)
    path = export(_FirstRowMasked().eval(), (samples[:1],), tmp_path / "m.onnx").path
    converted = convert(path, tmp_path / "m.tflite")
    (got,) = LiteRTSession(converted.path).run([samples[:1].numpy()])
    expected = _FirstRowMasked()(samples[:1]).numpy()
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(got, expected, atol=1e-5)
    with pytest.raises(ModelError, match="no int8 or float kernel"):
        quantize(converted, tmp_path / "int8.tflite", TensorSplit(samples, torch.zeros(8, dtype=torch.int64)))
