"""Adaptive average pooling whose windows have different sizes, in ONNX files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional

from edgeprune.export.onnx_export import export


class _Area(nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return functional.interpolate(image, mode="area", **self.options)


@pytest.mark.parametrize(
    ("pool", "shape", "products"),
    [
        (nn.AdaptiveAvgPool1d(3), (1, 2, 8), 1),
        (nn.AdaptiveAvgPool2d((3, None)), (1, 2, 8, 7), 1),
        (nn.AdaptiveAvgPool2d((11, 4)), (1, 2, 8, 6), 2),
        (_Area(size=(3, 5)), (1, 2, 8, 7), 2),
        (_Area(scale_factor=0.4), (1, 2, 8, 7), 2),
        (nn.AdaptiveAvgPool3d(2), (1, 2, 3, 4, 5), 3),
        (nn.AdaptiveAvgPool2d((2, 3)), (1, 2, 8, 6), 0),
        (nn.AdaptiveAvgPool2d(1), (1, 2, 8, 7), 0),
    ],
)
@pytest.mark.parametrize("captured", [False, True])
def test_adaptive_pooling_is_traced_as_one_product_for_each_dimension(
    pool: nn.Module, shape: tuple[int, ...], products: int, captured: bool, tmp_path: Path
) -> None:
    """``export`` compares the file with the network, also at another batch size."""
    example = (torch.randn(shape),)
    model = torch.export.export(pool, example).module() if captured else pool
    exported = export(model, example, tmp_path / "m.onnx", dynamic_batch=not captured)
    assert exported.exporter == "tracing"
    operators = Counter(node.op_type for node in onnx.load(exported.path).graph.node)
    assert operators["MatMul"] == products
    assert set(operators) <= {"MatMul", "Transpose", "AveragePool", "GlobalAveragePool"}
