"""A model file as a torch module."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edgeprune.backends.batching import Array, Inputs

if TYPE_CHECKING:
    from torch import nn


def as_module(predict: Callable[[Inputs], list[Array]], outputs: Any) -> nn.Module:
    """A loaded model file as a module that is called like the network from which it was exported.

    Args:
        predict: Function of all inputs (N, ...) that returns each output (N, ...); see ``Backend.predictor``.
        outputs: Outputs of the network for any inputs. Those of the module have the same structure, and the same values
            in place of leaves that are not tensors.
    """
    import torch
    from torch import nn
    from torch.utils import _pytree as pytree

    leaves, structure = pytree.tree_flatten(outputs)

    class Module(nn.Module):
        def forward(self, *args: torch.Tensor, **kwargs: torch.Tensor) -> Any:
            named = {name: tensor.numpy() for name, tensor in kwargs.items()}
            found = iter(predict(named or [tensor.numpy() for tensor in args]))
            answers = [torch.from_numpy(next(found)) if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
            return pytree.tree_unflatten(answers, structure)

    return Module().eval()
