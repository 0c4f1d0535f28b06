"""Size attributes of modules (``in_channels``), updated from the weights after slicing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd


def fix_attributes(model: nn.Module, changed: Mapping[str, Mapping[str, Any]]) -> None:
    """Set ``in_channels`` and similar attributes of each layer to the sizes of its weights.

    ``changed`` contains attributes that cannot be derived from weights (``groups``), by path of the module.
    """
    for path, attributes in changed.items():
        module = model.get_submodule(path)
        for name, value in attributes.items():
            # A network that calls a normalization itself may have a num_features with another meaning.
            if hasattr(module, name) and (name != "num_features" or isinstance(module, _NormBase)):
                setattr(module, name, tuple(value) if isinstance(value, list) else value)
    for module in model.modules():
        for name, value in _sizes(module).items():
            setattr(module, name, value)


def _sizes(module: nn.Module) -> dict[str, int]:
    if isinstance(module, _ConvNd):
        outer, inner = module.weight.shape[0], module.weight.shape[1] * module.groups
        if module.transposed:
            return {"in_channels": outer, "out_channels": inner}
        return {"out_channels": outer, "in_channels": inner}
    if isinstance(module, nn.Linear):
        return {"out_features": module.weight.shape[0], "in_features": module.weight.shape[1]}
    if isinstance(module, _NormBase):
        per_feature = next(
            (tensor for tensor in (module.weight, module.running_mean) if isinstance(tensor, Tensor)), None
        )
        return {} if per_feature is None else {"num_features": per_feature.shape[0]}
    if isinstance(module, nn.GroupNorm) and module.weight is not None:
        return {"num_channels": module.weight.shape[0]}
    if isinstance(module, nn.Embedding):
        return {"embedding_dim": module.weight.shape[1]}
    if isinstance(module, nn.RNNBase):
        state = dict(module.named_parameters())
        return {"hidden_size": state["weight_hh_l0"].shape[1], "input_size": state["weight_ih_l0"].shape[1]}
    if isinstance(module, nn.RNNCellBase):
        return {"hidden_size": module.weight_hh.shape[1], "input_size": module.weight_ih.shape[1]}
    if isinstance(module, nn.Bilinear):
        outer, first, second = module.weight.shape
        return {"out_features": outer, "in1_features": first, "in2_features": second}
    if isinstance(module, nn.PReLU):
        return {"num_parameters": module.weight.shape[0]}
    return {}
