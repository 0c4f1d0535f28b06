"""Limit of the sizes of results, so that a small file cannot require an unlimited amount of memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

MOST_ELEMENTS = 1 << 28
"""Largest result of an operator for one batch of the example: 1 GiB of float32."""


def result_elements(function: Callable[..., Any], args: Any, kwargs: Mapping[str, Any]) -> int:
    """Return the number of elements of the result of a call, from its shapes alone.

    0 if shapes do not determine it. Such an operator returns at most as many elements as it reads.
    """
    run = _weightless(function) if isinstance(function, nn.Module) else function
    try:
        with torch.no_grad(), torch.device("meta"):
            result = run(*_meta(args), **_meta(kwargs))
    except Exception:  # noqa: BLE001 - the call itself raises it, if it is wrong
        return 0
    return sum(leaf.numel() for leaf in pytree.tree_leaves(result) if isinstance(leaf, Tensor))


def _meta(values: Any) -> Any:
    return pytree.tree_map_only(Tensor, lambda tensor: tensor.to("meta"), values)


def _weightless(module: nn.Module) -> Callable[..., Any]:
    state = {name: tensor.to("meta") for name, tensor in (*module.named_parameters(), *module.named_buffers())}
    return lambda *args: torch.func.functional_call(module, state, args)
