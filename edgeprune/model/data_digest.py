"""Content hash of a data set that lies in memory."""

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
    """Hex SHA-256 of all samples, labels and class names; None where samples may be read or made later."""
    known: dict[int, bytes] = {}
    content: list[Any] = [list(data.classes)]
    for role, split in data.splits().items():
        inner = split.content() if isinstance(split, (TensorSplit, DatasetSplit)) else None
        if inner is None:
            return None
        content.append([role, inner])
    digest = _digest(content, known)
    return None if digest is None else digest.hex()


def read_some(data: Data) -> None:
    """Read some samples of each split, so that a recorder sees which kinds of files they come from."""
    for split in data.splits().values():
        if isinstance(split, DatasetSplit):
            split.read_some(_PROBED_SAMPLES)
        elif len(split):
            next(iter(split.batches(min(_PROBED_SAMPLES, len(split)))), None)


def _digest(value: Any, known: dict[int, bytes]) -> bytes | None:
    """Hash of nested lists of tensors, arrays and plain values; None for anything else. ``known`` holds those by id."""
    if id(value) in known and isinstance(value, (Tensor, np.ndarray)):
        return known[id(value)]
    hashed = hashlib.sha256()
    if isinstance(value, (list, tuple)):
        for item in value:
            inner = _digest(item, known)
            if inner is None:
                return None
            hashed.update(inner)
    elif isinstance(value, Tensor) and value.layout == torch.strided and not value.is_quantized:
        plain = value.detach().cpu().contiguous()
        hashed.update(f"{plain.dtype} {tuple(plain.shape)} ".encode())
        hashed.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    elif isinstance(value, np.ndarray) and value.dtype != object:
        hashed.update(f"{value.dtype} {value.shape} ".encode())
        hashed.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
    elif value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic)):
        hashed.update(f"{type(value).__name__} {value!r}".encode())
    else:
        return None
    digest = hashed.digest()
    if isinstance(value, (Tensor, np.ndarray)):
        known[id(value)] = digest
    return digest
