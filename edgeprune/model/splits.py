"""How samples become batches. A pass over a split is a pure function of its key, so that it repeats exactly."""

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
            size: Samples a batch.
            rng_key: None: every sample, in fixed order, without augmentation. Non-negative integers such as
                (seed, epoch): shuffled and augmented, the same batches for the same key; the last batch is left out
                where it is not full, unless it is the only one (``training_steps`` batches).
            start: Batches to skip; those that follow are the same as without it.
            augment: False: shuffled, but not augmented, as far as the split can tell the two apart.
        """
        ...


def read_part(
    split: Split, size: int, *, rng_key: tuple[int, ...], start: int = 0, part: tuple[int, int] = (0, 1)
) -> Iterator[tuple[Any, Any, float]]:
    """Part ``part[0]`` of ``part[1]`` of each shuffled batch, for processes that train together.

    Comes with the weight that makes the mean over the processes of their mean losses that of the whole batch. Splits of
    this module read their part alone; of another the whole batch is read, and cut along the first dimension.

    Raises:
        DataError: A batch of another split holds tensors that are not one sample a row.
    """
    rank, count = part
    if count == 1:
        yield from ((inputs, labels, 1.0) for inputs, labels in split.batches(size, rng_key=rng_key, start=start))
        return
    own = isinstance(split, (TensorSplit, DatasetSplit))
    cutting: dict[str, Any] = {"part": part} if own else {}
    for inputs, labels in split.batches(size, rng_key=rng_key, start=start, **cutting):
        whole = min(size, len(split))
        cut = slice(*part_bounds(whole, rank, count))
        here = (inputs, labels) if own else _cut((inputs, labels), cut, whole, split)
        yield *here, (cut.stop - cut.start) * count / whole


def _cut(batch: Any, cut: slice, whole: int, split: Split) -> Any:
    for leaf in pytree.tree_leaves(batch):
        if not isinstance(leaf, Tensor) or leaf.ndim == 0 or len(leaf) != whole:
            got = f"a tensor of shape {tuple(leaf.shape)}" if isinstance(leaf, Tensor) else type(leaf).__name__
            raise DataError(
                f"{type(split).__name__}: a batch of {whole} samples holds {got}, which cannot be shared among "
                "processes; its tensors must have one sample a row, or take DatasetSplit with collate=..."
            )
    return pytree.tree_map(itemgetter(cut), batch)


def some(split: Split, count: int, *, key: tuple[int, ...]) -> Split:
    """``count`` samples of ``split``, drawn once by ``key``, for those who ask often; all of one of another class."""
    if len(split) <= count or not isinstance(split, (TensorSplit, DatasetSplit)):
        return split
    return split.part(torch.randperm(len(split), generator=generator(*key))[:count])


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Random changes to training images.

    Attributes:
        crop_padding: Pixels of black added on every side before a crop of the original size: shifts by up to as many.
        flip: Mirror left to right with probability 1/2.
    """

    crop_padding: int = 0
    flip: bool = False

    def __call__(self, images: Tensor, rng: torch.Generator, *, first: int = 0, of: int | None = None) -> Tensor:
        """Change ``images`` (N, C, H, W) of any type, each on its own, in one gather.

        They are those from ``first`` on ``of`` as many: each is changed as if all were given.
        """
        count, channels, height, width = images.shape
        pad, whole = self.crop_padding, of or count
        here = slice(first, first + count)
        top = torch.randint(2 * pad + 1, (whole, 1), generator=rng)[here]
        left = torch.randint(2 * pad + 1, (whole, 1), generator=rng)[here]
        mirrored = torch.rand(whole, 1, generator=rng)[here] < (0.5 if self.flip else 0.0)
        rows = top + torch.arange(height)
        columns = left + torch.where(mirrored, torch.arange(width - 1, -1, -1), torch.arange(width))
        padded = functional.pad(images, (pad, pad, pad, pad))
        sample = torch.arange(count)[:, None, None, None]
        channel = torch.arange(channels)[None, :, None, None]
        return padded[sample, channel, rows[:, None, :, None], columns[:, None, None, :]]


class TensorSplit:
    """A split that lies in memory as one tensor: the fast way for data sets of small samples.

    Args:
        images: (N, C, H, W) uint8, scaled to 0..1 when read; or float (N, ...), taken as it is.
        labels: (N, ...) integers: (N,) for one class a sample, (N, H, W) for segmentation.
        mean: Per channel, subtracted from the scaled images; None: zero.
        std: Per channel, divides what is left; None: one.
        augment: What shuffled passes change; needs (N, C, H, W) and labels (N,).

    Raises:
        DataError: Shapes or types that do not fit, or values that are not finite.
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
                f"labels must be integers of shape ({len(images)}, ...); got {labels.dtype} of shape "
                f"{tuple(labels.shape)}"
            )
        if augment is not None and labels.ndim > 1:
            raise DataError(
                f"augment moves images alone and needs one label a sample, got labels of shape {tuple(labels.shape)}: "
                "take DatasetSplit with a data set that changes input and label together"
            )
        if augment is not None and images.ndim != 4:
            raise DataError(f"augmentation needs images of shape (N, C, H, W), got {tuple(images.shape)}")
        if images.is_floating_point():
            finite = torch.isfinite(images).flatten(1).all(1)
            if not bool(finite.all()):
                first = int((~finite).nonzero()[0])
                raise DataError(f"{int((~finite).sum())} of {len(images)} samples hold NaN or infinity, first: {first}")
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
        """All that decides the samples; None where a subclass may fill them in later."""
        if type(self) is not TensorSplit or type(self._augment) not in (type(None), Augment):
            return None
        return [self.images, self.labels, self._mean, self._std, repr(self._augment)]

    def part(self, indices: Tensor) -> TensorSplit:
        """The samples at ``indices`` alone, which are not augmented."""
        return TensorSplit(self.take(indices), self.labels[indices], mean=self._mean, std=self._std)

    def take(self, indices: Tensor) -> Tensor:
        """The images at ``indices``, as stored. A subclass may fill them in here when they are first asked for."""
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
        """See ``Split.batches``; ``part`` as ``read_part``."""
        for key, indices in index_batches(len(self), size, rng_key, start):
            first, stop = part_bounds(len(indices), *part)
            own = indices[first:stop]
            images = self.take(own)
            if augment and rng_key is not None and self._augment is not None:
                images = self._augment(images, generator(*key), first=first, of=len(indices))
            yield images.to(torch.float32).mul_(self._factor).sub_(self._offset), self.labels[own]
