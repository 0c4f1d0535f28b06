"""Wrapper that makes a model file callable as a torch module."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edgeprune.backends.batching import Array, Inputs

if TYPE_CHECKING:
    from torch import nn


def as_module(predict: Callable[[Inputs], list[Array]], outputs: Any) -> nn.Module:
    """Wrap a loaded model file in a module with the signature of the network from which it was exported.

    Args:
        predict: Function of all inputs (N, ...) that returns each output (N, ...); see ``Backend.predictor``.
        outputs: Example outputs of the network. The outputs of the module have the same structure. Leaves that are not
            tensors keep their values.
    """
    import torch
    from torch import nn
    from torch.utils import _pytree as pytree

    leaves, structure = pytree.tree_flatten(outputs)

    class Module(nn.Module):
        def forward(self, *args: torch.Tensor, **kwargs: torch.Tensor) -> Any:
            named = {name: tensor.numpy() for name, tensor in kwargs.items()}
            arrays = iter(predict(named or [tensor.numpy() for tensor in args]))
            answers = [torch.from_numpy(next(arrays)) if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
            return pytree.tree_unflatten(answers, structure)

    return Module().eval()
