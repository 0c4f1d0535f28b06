"""Splits of a data set, read in batches. A pass over a split is a pure function of its key, so it is repeatable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils import _pytree as pytree

from edgeprune.errors import DataError
from edgeprune.model.batches import Batch, index_batches, part_bounds
from edgeprune.model.dataset_split import DatasetSplit
from edgeprune.model.seeding import generator


@runtime_checkable
class Split(Protocol):
    """Labelled samples that can be read in batches of inputs (N, ...) float and labels (N, ...) int64."""

    def __len__(self) -> int: ...

    def batches(
        self, size: int, *, rng_key: tuple[int, ...] | None = None, start: int = 0, augment: bool = True
    ) -> Iterator[Batch]:
        """Read the split once, from batch ``start`` on.

        Args:
            size: Number of samples in a batch.
            rng_key: None: every sample, in fixed order, without augmentation. Non-negative integers such as
                (seed, epoch): shuffled and augmented, with the same batches for the same key. An incomplete last batch
                is then skipped, unless it is the only one (``training_steps`` batches).
            start: Number of batches to skip, without an effect on later batches.
            augment: Whether shuffled batches are augmented, if the split supports the choice.
        """
        ...


def read_part(
    split: Split, size: int, *, rng_key: tuple[int, ...], start: int = 0, part: tuple[int, int] = (0, 1)
) -> Iterator[tuple[Any, Any, float]]:
    """Yield inputs, labels and weight of part ``part[0]`` of ``part[1]`` of each shuffled batch, for one process.

    With the weights, the mean over processes of their mean losses equals the mean loss of the whole batch. Splits of
    EdgePrune read only their part. Other splits read the whole batch, which is cut along the first dimension.

    Raises:
        DataError: A batch of another split contains a tensor whose first dimension is not the samples.
    """
    rank, count = part
    if count == 1:
        yield from ((inputs, labels, 1.0) for inputs, labels in split.batches(size, rng_key=rng_key, start=start))
        return
    is_own = isinstance(split, (TensorSplit, DatasetSplit))
    arguments: dict[str, Any] = {"part": part} if is_own else {}
    for inputs, labels in split.batches(size, rng_key=rng_key, start=start, **arguments):
        total = min(size, len(split))
        cut = slice(*part_bounds(total, rank, count))
        own_part = (inputs, labels) if is_own else _cut((inputs, labels), cut, total, split)
        yield *own_part, (cut.stop - cut.start) * count / total


def _cut(batch: Any, cut: slice, total: int, split: Split) -> Any:
    for leaf in pytree.tree_leaves(batch):
        if not isinstance(leaf, Tensor) or leaf.ndim == 0 or len(leaf) != total:
            actual = f"a tensor of shape {tuple(leaf.shape)}" if isinstance(leaf, Tensor) else type(leaf).__name__
            raise DataError(
                f"{type(split).__name__}: a batch of {total} samples contains {actual}, which cannot be divided among "
                "processes: use tensors with one row for each sample, or DatasetSplit with collate=..."
            )
    return pytree.tree_map(itemgetter(cut), batch)


def some(split: Split, count: int, *, key: tuple[int, ...]) -> Split:
    """Return a fixed random subset of ``count`` samples, seeded by ``key``; other classes of splits are unchanged."""
    if len(split) <= count or not isinstance(split, (TensorSplit, DatasetSplit)):
        return split
    return split.part(torch.randperm(len(split), generator=generator(*key))[:count])


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Random changes to training images.

    Attributes:
        crop_padding: Number of black pixels added on every side before a random crop to the original size. Defaults to
            0.
        flip: Whether images are mirrored left to right with probability 1/2. Defaults to False.
    """

    crop_padding: int = 0
    flip: bool = False

    def __call__(self, images: Tensor, rng: torch.Generator, *, first: int = 0, of: int | None = None) -> Tensor:
        """Return ``images`` (N, C, H, W) of any type with independent random changes.

        ``first`` is the index of the first image in a batch of ``of`` images; each image changes as in the whole batch.
        """
        count, channels, height, width = images.shape
        pad, total = self.crop_padding, of or count
        own = slice(first, first + count)
        row_offset = torch.randint(2 * pad + 1, (total, 1), generator=rng)[own]
        column_offset = torch.randint(2 * pad + 1, (total, 1), generator=rng)[own]
        mirrored = torch.rand(total, 1, generator=rng)[own] < (0.5 if self.flip else 0.0)
        rows = row_offset + torch.arange(height)
        columns = column_offset + torch.where(mirrored, torch.arange(width - 1, -1, -1), torch.arange(width))
        padded = functional.pad(images, (pad, pad, pad, pad))
        sample = torch.arange(count)[:, None, None, None]
        channel = torch.arange(channels)[None, :, None, None]
        return padded[sample, channel, rows[:, None, :, None], columns[:, None, None, :]]


class TensorSplit:
    """Split in memory as one tensor, which is fast for data sets of small samples.

    Args:
        images: uint8 images (N, C, H, W), scaled to 0..1 when read, or float inputs (N, ...), which are not scaled.
        labels: Integer labels (N, ...): (N,) for one class per sample, (N, H, W) for segmentation.
        mean: Mean of each channel, subtracted from the scaled images. None: 0.
        std: Standard deviation of each channel, by which they are then divided. None: 1.
        augment: Augmentation of shuffled passes, for images (N, C, H, W) and labels (N,). None: no augmentation.

    Raises:
        DataError: Shapes or types are not valid, or values are not finite.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        augment: Augment | None = None,
    ) -> None:
        if images.dtype != torch.uint8 and not images.is_floating_point():
            raise DataError(f"images must be uint8 or float, got {images.dtype}")
        if labels.ndim < 1 or labels.is_floating_point() or len(labels) != len(images):
            raise DataError(
                f"labels must be integers of shape ({len(images)}, ...), got {labels.dtype} of shape "
                f"{tuple(labels.shape)}"
            )
        if augment is not None and labels.ndim > 1:
            raise DataError(
                "augment needs one label for each sample, because it moves only images, got the shape "
                f"{tuple(labels.shape)}: use DatasetSplit with a data set that changes input and label together"
            )
        if augment is not None and images.ndim != 4:
            raise DataError(f"augmentation needs images of shape (N, C, H, W), got {tuple(images.shape)}")
        if images.is_floating_point():
            finite = torch.isfinite(images).flatten(1).all(1)
            if not bool(finite.all()):
                first = int((~finite).nonzero()[0])
                raise DataError(
                    f"{int((~finite).sum())} of {len(images)} samples contain NaN or infinity, the first is {first}"
                )
        scale = 1 / 255 if images.dtype == torch.uint8 else 1.0
        shape = (1, -1) + (1,) * (images.ndim - 2)
        deviation = torch.tensor(std or [1.0], dtype=torch.float32).reshape(shape)
        self.labels = labels.to(torch.int64)
        self.images = images
        self._mean, self._std = mean, std
        self._factor = scale / deviation
        self._offset = torch.tensor(mean or [0.0], dtype=torch.float32).reshape(shape) / deviation
        self._augment = augment

    def __len__(self) -> int:
        return len(self.labels)

    def content(self) -> list[Any] | None:
        """Return all values that determine the samples; None if a subclass may load them later."""
        if type(self) is not TensorSplit or type(self._augment) not in (type(None), Augment):
            return None
        return [self.images, self.labels, self._mean, self._std, repr(self._augment)]

    def part(self, indices: Tensor) -> TensorSplit:
        """Return a split of the samples at ``indices``, without augmentation."""
        return TensorSplit(self.take(indices), self.labels[indices], mean=self._mean, std=self._std)

    def take(self, indices: Tensor) -> Tensor:
        """Return the stored images at ``indices``. A subclass may load them here on first use."""
        return self.images[indices]

    def batches(
        self,
        size: int,
        *,
        rng_key: tuple[int, ...] | None = None,
        start: int = 0,
        augment: bool = True,
        part: tuple[int, int] = (0, 1),
    ) -> Iterator[Batch]:
        """See ``Split.batches``, and ``read_part`` for ``part``."""
        for key, indices in index_batches(len(self), size, rng_key, start):
            first, stop = part_bounds(len(indices), *part)
            own = indices[first:stop]
            images = self.take(own)
            if augment and rng_key is not None and self._augment is not None:
                images = self._augment(images, generator(*key), first=first, of=len(indices))
            yield images.to(torch.float32).mul_(self._factor).sub_(self._offset), self.labels[own]
