"""MACs of a network as torch counts them while it runs, to compare them with those of EdgePrune."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from edgeprune import graph
from edgeprune.model.output_difference import tensors
from tests.zoo.zoo_family import Example


def run(network: nn.Module, example: Example) -> list[Tensor]:
    """Return the output tensors of ``network`` without gradients."""
    with torch.no_grad():
        return tensors(network(**example) if isinstance(example, Mapping) else network(*example))


def counted_macs(network: nn.Module, example: Example) -> Counter[str]:
    """Return the MACs that torch counts while ``network`` runs, by operator, half of its FLOPs.

    Fused attention and recurrent layers are computed by their parts, because torch does not count all fused kernels.
    The counter follows gradients and fails on a parameter that is an input of a module, so that none has a gradient.
    """
    network = copy.deepcopy(network).requires_grad_(requires_grad=False)
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with (
            FlopCounterMode(display=False) as counter,
            sdpa_kernel(SDPBackend.MATH),
            torch.backends.mkldnn.flags(enabled=False),
        ):
            run(network, example)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    macs: Counter[str] = Counter()
    for operator, flops in counter.get_flop_counts().get("Global", {}).items():
        macs[_kind(str(operator))] += flops // 2
    return macs


def macs_by_operator(units: graph.Units) -> Counter[str]:
    """Return the MACs that EdgePrune counts for the dense network, by kind of operator."""
    macs: Counter[str] = Counter()
    for node, products in units.coordinates.coupling.products.items():
        count = sum(product.count * math.prod(len(ids) for ids in product.factors) for product in products)
        macs[_kind(str(node.target))] += count
    return macs


def _kind(operator: str) -> str:
    """Return ``convolution``, or ``product`` of matrices, for an operator that torch counts; otherwise its name.

    The same layer has other operators in a captured program (linear) and while it runs (addmm).
    """
    name = operator.removeprefix("aten.").partition(".")[0]
    if "conv" in name:
        return "convolution"
    return "product" if name in _PRODUCTS else name


_PRODUCTS = frozenset(
    [
        "mm",
        "addmm",
        "bmm",
        "baddbmm",
        "linear",
        "matmul",
        "einsum",
        "scaled_dot_product_attention",
        "lstm",
        "gru",
        "rnn_tanh",
        "rnn_relu",
        "bilinear",
        "lstm_cell",
        "gru_cell",
        "rnn_tanh_cell",
        "rnn_relu_cell",
    ]
)


def macs_differences(own: Counter[str], counted: Counter[str]) -> dict[str, list[int]]:
    """Return [own, counted] MACs of each kind of operator where they differ by more than 1 % of all."""
    limit = 0.01 * max(counted.total(), own.total())
    return {
        kind: [own[kind], counted[kind]] for kind in sorted({*own, *counted}) if abs(own[kind] - counted[kind]) > limit
    }
