"""Shapes that files compute: sizes that depend on the batch follow it, all others are numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from edgeprune import load_onnx
from edgeprune.onnx_import import shape_arithmetic
from tests.onnx_import.shape_graphs import OPERATORS, shape_graph


def test_every_operator_on_shapes_has_an_example() -> None:
    assert set(OPERATORS) == set(shape_arithmetic.registered())


@pytest.mark.parametrize("batch", ["batch", "1", "3"])
@pytest.mark.parametrize("op", OPERATORS)
def test_shapes_follow_the_batch(op: str, batch: str, tmp_path: Path) -> None:
    """A file with a dynamic batch is run at other sizes; one with a fixed batch is compared sample by sample."""
    model = onnx.parser.parse_model(shape_graph(op, batch))
    assert op in {node.op_type for node in model.graph.node}
    onnx.save(model, path := tmp_path / "shapes.onnx")
    network = load_onnx(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    size = int(batch) if batch.isdigit() else 5
    x = np.random.default_rng(0).standard_normal((2 * size, 6, 4)).astype(np.float32)
    actual = network(torch.from_numpy(x)).detach().numpy()
    parts = [x] if batch == "batch" else np.split(x, 2)
    expected = np.concatenate([session.run(None, {"x": part})[0] for part in parts])
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
