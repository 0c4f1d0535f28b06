"""Mean loss of a network on samples."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from edgeprune.statistics import Samples
from edgeprune.statistics.sample_batches import samples_in
from edgeprune.training.evaluate import device_of


def mean_loss(model: nn.Module, samples: Samples) -> float:
    """Mean loss of ``model`` on ``samples``, without gradients."""
    device = device_of(model)
    total, count = 0.0, 0
    with torch.no_grad():
        for batch in samples:
            args, kwargs, labels = pytree.tree_map_only(Tensor, lambda tensor: tensor.to(device), batch)
            total += float(samples.loss(model(*args, **kwargs), labels)) * samples_in((args, kwargs))
            count += samples_in((args, kwargs))
    return total / count
