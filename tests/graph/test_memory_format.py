"""Networks whose gradients crash torch in channels-last order are trained and scored in the default order."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from edgeprune.graph import capture
from edgeprune.graph.memory_format import is_channels_last_safe

# The smallest network: a pruned shortcut of a residual network. With the kernels of AVX2, the first step crashes.
_TRAIN_AND_SCORE = """
import sys
import torch
from pathlib import Path
from torch import nn
import edgeprune
from edgeprune.config import TrainingSettings
from edgeprune.model.data import Data, TensorSplit
from edgeprune.training import finetune

torch.manual_seed(0)
images, labels = torch.randn(256, 4, 32, 32), torch.randint(10, (256,))
data = Data(train=TensorSplit(images, labels), validation=TensorSplit(images[:64], labels[:64]))
model = nn.Sequential(
    nn.Conv2d(4, 32, 1, stride=2), nn.ReLU(), nn.Conv2d(32, 8, 1), nn.Flatten(), nn.Linear(2048, 10)
)
if sys.argv[1] == "train":
    settings = TrainingSettings(epochs=1, batch_size=128, lr=0.01, precision="float32", channels_last=True)
    finetune(model, data, settings, seed=0, folder=Path(sys.argv[2]))
else:
    options = {"criterion": "snip", "repair": []}
    edgeprune.prune(model, (images[:2],), budget={"macs": 0.5}, data=[(images[:128], labels[:128])], options=options)
"""


@pytest.mark.parametrize("what", ["train", "score"])
def test_strided_1x1_convolution_with_few_channels_does_not_crash(what: str, tmp_path: Any) -> None:
    result = subprocess.run(
        [sys.executable, "-c", _TRAIN_AND_SCORE, what, tmp_path],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("layer", "is_safe"),
    [
        (nn.Conv2d(4, 32, 1, stride=2), False),
        (nn.Conv2d(15, 32, 1, stride=(1, 2)), False),
        (nn.Conv2d(16, 32, 1, stride=2), True),
        (nn.Conv2d(4, 32, 1), True),
        (nn.Conv2d(4, 32, 3, stride=2), True),
        (nn.Conv2d(4, 4, 1, stride=2, groups=4), True),
        (nn.Conv1d(4, 32, 1, stride=2), True),
    ],
)
def test_only_convolutions_of_the_defect_are_unsafe(layer: nn.Module, is_safe: bool) -> None:
    assert is_channels_last_safe(nn.Sequential(layer)) == is_safe
    example = torch.randn(2, layer.in_channels, *(8,) * (layer.weight.ndim - 2))  # type: ignore[operator, union-attr]
    assert is_channels_last_safe(capture(layer, (example,)).module) == is_safe
