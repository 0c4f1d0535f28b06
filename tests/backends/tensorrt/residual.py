"""A residual network, exported and quantised for real."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn

from edgeprune.backends.tensorrt import qdq_fusion_rules, qdq_placement
from edgeprune.export.onnx_export import export
from edgeprune.quantize.activation_ranges import calibrate
from edgeprune.quantize.prepare_onnx import prepare

IMAGE = (1, 3, 16, 16)


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs))
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        self.skip = nn.Conv2d(inputs, outputs, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.second(torch.relu(self.first(x))) + self.skip(x))


def network() -> nn.Module:
    """A stem, a block whose skip is plain and one whose skip is a convolution, a classifier."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), Block(8, 8), Block(8, 16, 2), Block(16, 16)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)).eval()


def exported(path: Path, module: nn.Module | None = None) -> onnx.ModelProto:
    export(module or network(), (torch.randn(*IMAGE),), path)
    return onnx.load(path)


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, *IMAGE[1:])).astype(np.float32)


def samples(count: int, seed: int = 0) -> Iterator[dict[str, np.ndarray]]:
    return ({"input": image[None]} for image in images(count, seed))


def quantized(source: Path, *, float_weights: bool = False, kept_float: Collection[str] = ()) -> onnx.ModelProto:
    """For TensorRT."""
    prepared = prepare(source)
    ranges = calibrate(prepared, (image[None] for image in images(16, seed=1)), op_types=qdq_fusion_rules.QUANTIZED)
    result = qdq_fusion_rules.quantized(prepared.model, ranges, float_weights=float_weights, kept_float=kept_float)
    return qdq_placement.fit(result)


def run(model: onnx.ModelProto, inputs: np.ndarray) -> np.ndarray:
    """The outputs of ONNX Runtime on the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"input": image[None]})[0] for image in inputs])


def run_exactly(model: onnx.ModelProto, inputs: np.ndarray) -> np.ndarray:
    """The outputs of ONNX's reference, which rounds each value as its type says; ONNX Runtime's CPU knows no fp16."""
    reference = ReferenceEvaluator(model)
    with np.errstate(all="ignore"):
        return np.concatenate([reference.run(None, {"input": image[None]})[0] for image in inputs])


def error(expected: np.ndarray, got: np.ndarray) -> float:
    """Largest difference over the largest expected value."""
    return float(np.abs(expected - got).max() / np.abs(expected).max())
