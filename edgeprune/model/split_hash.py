"""Hash of the samples of a split, to recognize evaluations on the same samples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from edgeprune.model.batches import Batch
from edgeprune.model.splits import Split


class HashedSplit:
    """Split that hashes inputs and labels while they are read in order, independent of the batch size.

    Args:
        split: Split to read from.
    """

    def __init__(self, split: Split) -> None:
        self._split = split
        self._streams: list[Any] = []

    def __len__(self) -> int:
        return len(self._split)

    def batches(
        self, size: int, *, rng_key: tuple[int, ...] | None = None, start: int = 0, augment: bool = True
    ) -> Iterator[Batch]:
        """Yield the batches of the split, see ``Split.batches``; each pass starts a new hash."""
        self._streams = []
        for batch in self._split.batches(size, rng_key=rng_key, start=start, augment=augment):
            self._update(batch)
            yield batch

    @property
    def sha256(self) -> str:
        """Hex SHA-256 of the samples of the last pass."""
        total = hashlib.sha256()
        for stream in self._streams:
            total.update(stream.digest())
        return total.hexdigest()

    def _update(self, batch: Any) -> None:
        """Every tensor of a batch has its own stream, so that samples follow each other in any batch size."""
        for index, leaf in enumerate(pytree.tree_leaves(batch)):
            if index == len(self._streams):
                kind = f"{leaf.dtype} {tuple(leaf.shape[1:])}" if isinstance(leaf, Tensor) else type(leaf).__name__
                self._streams.append(hashlib.sha256(kind.encode()))
            self._streams[index].update(_content(leaf))


def _content(leaf: Any) -> bytes:
    if not isinstance(leaf, Tensor):
        return repr(leaf).encode()
    return leaf.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
