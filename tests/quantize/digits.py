"""The trained network of the digits recipe as ONNX files, and what ONNX Runtime makes of quantized ones."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path

import onnx
import onnxruntime
import torch
from torch import nn

from edgeprune.backends.onnxruntime.onnxruntime_session import evaluate
from edgeprune.config import Recipe
from edgeprune.export.onnx_export import export
from edgeprune.model import data, network
from edgeprune.model.data import Data


@cache
def digits() -> Data:
    recipe = Recipe.load("digits")
    return data.load(recipe.data.function, base=recipe.folder)


def trained() -> nn.Module:
    recipe = Recipe.load("digits")
    return network.load_model(recipe.model.factory, recipe.weights_path, base=recipe.folder)


def unequal(model: nn.Module) -> nn.Module:
    """The same function, with channels of very different size between the depthwise and the pointwise convolution."""
    factors = torch.logspace(-2, 2, 32)
    norm, pointwise = model.depthwise[1], model.pointwise[0]
    with torch.no_grad():
        norm.weight.mul_(factors)
        norm.bias.mul_(factors)
        pointwise.weight.div_(factors[:, None, None])
    return model


def write(model: nn.Module, path: Path, *, shape: tuple[int, ...] = (1, 1, 8, 8), dynamic: bool = False) -> Path:
    return export(model.eval(), (torch.randn(shape),), path, dynamic_batch=dynamic).path


def accuracy(path: Path) -> float:
    return evaluate(path, digits().validation).accuracy


def executed(path: Path, folder: Path) -> Counter[str]:
    """Operators that ONNX Runtime runs, where its kernels take activations of the type in the file."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 3
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(folder / "optimised.onnx").graph.node)
