"""Unwrapping of parallel, averaged and compiled modules."""

from __future__ import annotations

from torch import jit, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from edgeprune.errors import ModelError

COMPONENTS = frozenset({"module", "_orig_mod"})
"""Components that wrappers add to the names of parameters: those of parallel and averaged, and of compiled modules."""

_QUANTIZATION = ("torch.ao.", "torchao.")
"""Beginnings of the modules with layers, observers and fake-quantize operators of torch and torchao."""


def unwrap(model: nn.Module) -> nn.Module:
    """Return the network inside a parallel, averaged or compiled ``model``; otherwise ``model`` itself.

    Raises:
        ModelError: The network, or a part of it, is a TorchScript program, quantized, or prepared for quantization.
    """
    while True:
        if isinstance(model, (DataParallel, DistributedDataParallel, AveragedModel)):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):  # torch.compile
            model = inner
        else:
            break
    scripted = next((path for path, part in model.named_modules() if isinstance(part, jit.ScriptModule)), None)
    if scripted is not None:
        raise ModelError(
            f"{scripted or 'the network'} is a TorchScript module, whose shapes are fixed: pass the Python module that "
            "torch.jit.script or torch.jit.trace was called with"
        )
    for path, part in model.named_modules():
        if any(base.__module__.startswith(_QUANTIZATION) for base in type(part).__mro__):
            raise ModelError(
                f"{path or 'the network'} is a {type(part).__name__}, so the network is quantized or prepared for "
                "quantization-aware training: prune the float network first, before prepare_qat or quantize_"
            )
    return model
