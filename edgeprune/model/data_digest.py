"""Content hash of a data set in memory."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgeprune.model.data import Data
from edgeprune.model.dataset_split import DatasetSplit
from edgeprune.model.splits import TensorSplit

_PROBED_SAMPLES = 64


def data_digest(data: Data) -> str | None:
    """Return the hex SHA-256 of all samples, labels and class names; None if samples may be read or created later."""
    digests: dict[int, bytes] = {}
    content: list[Any] = [list(data.classes)]
    for role, split in data.splits().items():
        inner = split.content() if isinstance(split, (TensorSplit, DatasetSplit)) else None
        if inner is None:
            return None
        content.append([role, inner])
    digest = _digest(content, digests)
    return None if digest is None else digest.hex()


def read_some(data: Data) -> None:
    """Read some samples of each split, so that a recorder sees the types of their files."""
    for split in data.splits().values():
        if isinstance(split, DatasetSplit):
            split.read_some(_PROBED_SAMPLES)
        elif len(split):
            next(iter(split.batches(min(_PROBED_SAMPLES, len(split)))), None)


def _digest(value: Any, digests: dict[int, bytes]) -> bytes | None:
    """Return the hash of nested lists of tensors, arrays and plain values; otherwise None. ``digests`` is a cache."""
    if id(value) in digests and isinstance(value, (Tensor, np.ndarray)):
        return digests[id(value)]
    hashed = hashlib.sha256()
    if isinstance(value, (list, tuple)):
        for item in value:
            inner = _digest(item, digests)
            if inner is None:
                return None
            hashed.update(inner)
    elif isinstance(value, Tensor) and value.layout == torch.strided and not value.is_quantized:
        tensor = value.detach().cpu().contiguous()
        hashed.update(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
        hashed.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    elif isinstance(value, np.ndarray) and value.dtype != object:
        hashed.update(f"{value.dtype} {value.shape} ".encode())
        hashed.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
    elif value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic)):
        hashed.update(f"{type(value).__name__} {value!r}".encode())
    else:
        return None
    digest = hashed.digest()
    if isinstance(value, (Tensor, np.ndarray)):
        digests[id(value)] = digest
    return digest
