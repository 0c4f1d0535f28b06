"""A model file on the runtime that its name asks for: ``.tflite`` on LiteRT, anything else on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from edgeprune.backends.accuracy import Accuracy
from edgeprune.backends.feeding import Array, Inputs
from edgeprune.progress import SILENT, Progress

if TYPE_CHECKING:
    from torch import nn

    from edgeprune.model.data import Split


def predictor(path: Path) -> Callable[[Inputs], list[Array]]:
    """Load ``path``; what is given inputs (N, ...) and gives each output (N, ...), on all cores.

    Raises:
        ModelError: The runtime cannot load it.
    """
    found: Callable[[Inputs], list[Array]] = _runtime(path).predictor(path)
    return found


def evaluate(path: Path, split: Split, *, progress: Progress = SILENT) -> Accuracy:
    """Top-1 accuracy of ``path`` on ``split``.

    Raises:
        DataError: The split is empty.
        ModelError: The runtime cannot load it or fails, or an output is not finite.
    """
    found: Accuracy = _runtime(path).evaluate(path, split, progress=progress)
    return found


def as_module(path: Path, outputs: Any) -> nn.Module:
    """The model file ``path`` as a module that is called like the network that it was exported from.

    Args:
        path: Of the file; it is loaded now.
        outputs: What the network gives for any inputs: the answers have this structure, and its values that are no
            tensors.
    """
    import torch
    from torch import nn
    from torch.utils import _pytree as pytree

    predict = predictor(path)
    leaves, structure = pytree.tree_flatten(outputs)

    class Module(nn.Module):
        def forward(self, *args: torch.Tensor, **kwargs: torch.Tensor) -> Any:
            named = {name: tensor.numpy() for name, tensor in kwargs.items()}
            found = iter(predict(named or [tensor.numpy() for tensor in args]))
            answers = [torch.from_numpy(next(found)) if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
            return pytree.tree_unflatten(answers, structure)

    return Module().eval()


def _runtime(path: Path) -> ModuleType:
    if path.suffix == ".tflite":
        from edgeprune.backends import litert

        return litert
    from edgeprune.backends import onnxruntime

    return onnxruntime
