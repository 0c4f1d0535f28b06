"""Labeled batches from which statistics are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional
from torch.utils import _pytree as pytree

from edgeprune.errors import DataError
from edgeprune.model.data import Split
from edgeprune.model.seeding import seeded

Loss = Callable[[Any, Any], Tensor]
"""``loss(outputs, labels)``: a scalar, the mean over the samples of a batch."""


@dataclass(frozen=True)
class Samples:
    """Labeled batches, the same in each pass.

    Attributes:
        source: Batches of (input, label), read again in each pass. An input is a tensor, a tuple of positional inputs
            or a dict of keyword inputs. A label is the second argument of the loss.
        loss: Loss of the network. Defaults to cross entropy.
        limit: Maximum number of samples, rounded up to whole batches. Defaults to 1024.
        seed: Seed of the random draws of the source. Defaults to 0.
    """

    source: Iterable[Any]
    loss: Loss = functional.cross_entropy
    limit: int = 1024
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.source, Iterable):
            raise DataError(f"data: got {type(self.source).__name__}, must be an iterable of (input, label) batches")
        if iter(self.source) is self.source:
            raise DataError(
                f"data: got {type(self.source).__name__}, which can be read only once, but several passes are "
                "needed: pass a list of batches, a DataLoader, or list(...) of it"
            )

    @staticmethod
    def of(split: Split, *, count: int, batch_size: int = 64, seed: int = 0, loss: Loss | None = None) -> Samples:
        """Return ``count`` samples of ``split``, drawn by ``seed`` and not augmented."""
        size = max(1, min(batch_size, len(split), count))
        return Samples(_RandomBatches(split, size, seed), loss or functional.cross_entropy, count, seed)

    def __iter__(self) -> Iterator[tuple[tuple[Any, ...], dict[str, Any], Any]]:
        """Yield positional inputs, keyword inputs and labels of each batch."""
        read = 0
        with seeded(self.seed):
            for batch in self.source:
                args, kwargs, labels = _split(batch)
                yield args, kwargs, labels
                read += samples_in((args, kwargs))
                if read >= self.limit:
                    break
        if not read:
            raise DataError("data: got no samples, must have at least one batch of (input, label)")


@dataclass(frozen=True)
class _RandomBatches:
    split: Split
    size: int
    seed: int

    def __iter__(self) -> Iterator[Any]:
        return self.split.batches(self.size, rng_key=(self.seed,), augment=False)


def samples_in(inputs: Any) -> int:
    """Return the size of a batch: the length of the first tensor in its inputs."""
    return next((len(leaf) for leaf in pytree.tree_leaves(inputs) if _has_rows(leaf)), 1)


def _has_rows(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.ndim > 0


def _split(batch: Any) -> tuple[tuple[Any, ...], dict[str, Any], Any]:
    pair = isinstance(batch, (tuple, list)) and len(batch) == 2
    if not pair or not any(_has_rows(leaf) for leaf in pytree.tree_leaves(batch[1])):
        actual = f"{type(batch).__name__} of {len(batch)}" if isinstance(batch, (tuple, list)) else type(batch).__name__
        raise DataError(
            f"data: got a batch of type {actual}, must be (input, label), where the label is a tensor (N, ...) or a "
            "structure of tensors for the loss"
        )
    inputs, labels = batch
    if isinstance(inputs, dict):
        return (), inputs, labels
    return tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,), {}, labels
