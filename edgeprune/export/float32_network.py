"""Networks in other number formats, which are exported as float32."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from edgeprune.export.flat_io import Example

logger = logging.getLogger(__name__)

_OTHER_FLOATS = (torch.float64, torch.float16, torch.bfloat16)


def as_float32(model: nn.Module, example: Example) -> tuple[nn.Module, Example]:
    """Return ``model`` and ``example`` in float32: copies, or themselves if no tensor has another floating-point type.

    Runtimes have float32 kernels for all operators, but few for other types. A float16 or int8 file is written from
    the float32 file.
    """
    tensors = [*model.parameters(), *model.buffers(), *pytree.tree_leaves(example)]
    formats = {str(one.dtype).removeprefix("torch.") for one in tensors if _is_other_float(one)}
    if not formats:
        return model, example
    logger.warning("the network has tensors in %s: it is exported as float32", ", ".join(sorted(formats)))
    converted: Example = pytree.tree_map(_float32, example)
    return copy.deepcopy(model).float(), converted


@contextmanager
def without_autocast() -> Iterator[None]:
    """Context in which autocast blocks of a network have no effect, so that all operators are exported as float32.

    torch cannot disable autocast from outside: a block in the network enables it again.
    """
    with (
        mock.patch.object(torch.autocast, "__enter__", lambda self: self),
        mock.patch.object(torch.autocast, "__exit__", return_value=None),
    ):
        yield


def _is_other_float(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype in _OTHER_FLOATS


def _float32(value: Any) -> Any:
    return value.float() if _is_other_float(value) else value
