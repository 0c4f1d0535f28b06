"""Torch-Pruning 1.6.1 on a network of the zoo, for comparison."""

from __future__ import annotations

import resource
import time
from typing import Any

import torch
from torch import nn

from scripts.counted_macs import run
from scripts.zoo_network_row import Peak
from tests.zoo.networks import make

_LIMIT_BYTES = 12 * 2**30


def torch_pruning_row(name: str, fraction: float) -> dict[str, Any]:
    """Prune with no annotations, with a ratio that is raised until the MACs fit; checked by a forward alone."""
    import torch_pruning

    resource.setrlimit(resource.RLIMIT_AS, (_LIMIT_BYTES, _LIMIT_BYTES))  # swin_t would take all of it
    network, example = make(name)
    with Peak() as peak:
        begin = time.perf_counter()
        before = torch_pruning.utils.count_ops_and_params(network, example)[0]
        last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1:]
        pruner = torch_pruning.pruner.MagnitudePruner(
            network,
            example,
            importance=torch_pruning.importance.MagnitudeImportance(p=2),
            iterative_steps=20,
            pruning_ratio=0.95,
            ignored_layers=last,
        )
        after = before
        for _ in range(20):
            pruner.step()
            after = torch_pruning.utils.count_ops_and_params(network, example)[0]
            if after <= fraction * before:
                break
        seconds = time.perf_counter() - begin
    with torch.no_grad():
        run(network, example)
    if after > fraction * before:
        return {"error": f"stopped at {after / before:.2f} of the MACs"}
    return {"seconds": seconds, "peak_mb": peak.bytes / 1e6, "macs_before": before, "macs_after": after}
