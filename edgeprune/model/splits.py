"""How samples become batches. A pass over a split is a pure function of its key, so that it repeats exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils import _pytree as pytree
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset, default_collate

from edgeprune.errors import DataError
from edgeprune.model.randomness import generator, seeded
from edgeprune.model.user_code import user_code

Batch = tuple[Tensor, Tensor]


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
        cut = slice(*_bounds(whole, rank, count))
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


def _bounds(size: int, rank: int, count: int) -> tuple[int, int]:
    """The first index of a part, and the first behind it."""
    return size * rank // count, size * (rank + 1) // count


def some(split: Split, count: int, *, key: tuple[int, ...]) -> Split:
    """``count`` samples of ``split``, drawn once by ``key``, for those who ask often; all of one of another class."""
    if len(split) <= count or not isinstance(split, (TensorSplit, DatasetSplit)):
        return split
    return split.part(torch.randperm(len(split), generator=generator(*key))[:count])


def training_steps(samples: int, size: int) -> int:
    """Batches in one shuffled pass: a small last batch would give BatchNorm poor statistics, so it is left out."""
    return max(1, samples // size)


def _index_batches(
    samples: int, size: int, rng_key: tuple[int, ...] | None, start: int
) -> list[tuple[tuple[int, ...], Tensor]]:
    """Sample indices of each batch, with the key for what is drawn at random in it."""
    if samples == 0:
        return []
    if rng_key is None:
        parts = torch.split(torch.arange(samples), size)
    else:
        parts = torch.split(torch.randperm(samples, generator=generator(*rng_key)), size)
        parts = parts[: training_steps(samples, size)]
    return [((*(rng_key or ()), step), part) for step, part in enumerate(parts)][start:]


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
        for key, indices in _index_batches(len(self), size, rng_key, start):
            first, stop = _bounds(len(indices), *part)
            own = indices[first:stop]
            images = self.take(own)
            if augment and rng_key is not None and self._augment is not None:
                images = self._augment(images, generator(*key), first=first, of=len(indices))
            yield images.to(torch.float32).mul_(self._factor).sub_(self._offset), self.labels[own]


class DatasetSplit:
    """A split over a user's own map-style ``torch.utils.data.Dataset`` of (input, label) samples.

    What the data set draws at random (torchvision transforms, say) is seeded sample by sample, so it repeats as well.

    Args:
        dataset: Its samples are (input, label): a tensor or array, and an integer or a tensor or array of integers.
        workers: Above 0, as many processes read batches ahead; they come out the same.
        collate: Makes a batch of a list of samples, for samples of another kind (boxes, masks, texts), which are then
            taken as they are; for ``training.loss`` or ``training.step`` to make sense of.
    """

    def __init__(
        self, dataset: Dataset[Any], *, workers: int = 0, collate: Callable[[list[Any]], Any] | None = None
    ) -> None:
        if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
            raise DataError(
                f"{type(dataset).__name__} is no map-style data set: it needs __len__ and __getitem__, "
                "which returns (input, label)"
            )
        self._dataset = dataset
        self._workers = workers
        self._collate = collate

    def __len__(self) -> int:
        return len(self._dataset)

    def content(self) -> list[Any] | None:
        """All that decides the samples, where the data set is known to lie in memory; else None."""
        return None if type(self) is not DatasetSplit else _content(self._dataset)

    def read_some(self, count: int) -> None:
        """Read about ``count`` samples, spread evenly over the data set, in this process."""
        for index in range(0, len(self), max(1, len(self) // count)):
            with seeded(index):
                _ = self._dataset[index]

    def part(self, indices: Tensor) -> DatasetSplit:
        """The samples at ``indices`` alone."""
        return DatasetSplit(Subset(self._dataset, indices.tolist()), workers=self._workers, collate=self._collate)

    def batches(
        self,
        size: int,
        *,
        rng_key: tuple[int, ...] | None = None,
        start: int = 0,
        augment: bool = True,  # not used: what the data set does to its samples is its own
        part: tuple[int, int] = (0, 1),
    ) -> Iterator[Batch]:
        """See ``Split.batches``; ``part`` as ``read_part``."""
        batches = _DatasetBatches(self._dataset, _index_batches(len(self), size, rng_key, start), part, self._collate)
        if self._workers:
            own = torch.Generator()  # else it draws a seed for its workers, which do not need it, from the global one
            yield from DataLoader(batches, batch_size=None, num_workers=self._workers, generator=own)
        else:
            yield from (batches[step] for step in range(len(batches)))


def _content(dataset: Any) -> list[Any] | None:
    if type(dataset) is TensorDataset:
        return list(dataset.tensors)
    if type(dataset) is Subset:
        inner = _content(dataset.dataset)
        return None if inner is None else [inner, list(map(int, dataset.indices))]
    if type(dataset) is ConcatDataset:
        parts = [_content(part) for part in dataset.datasets]
        return None if any(part is None for part in parts) else parts
    if type(dataset) in (list, tuple):
        return list(dataset)
    return None


def _input_and_label(dataset: Any) -> tuple[Tensor, Tensor] | None:
    """The two tensors of a TensorDataset of classes, which draws nothing at random; None for any other data set.

    Batches are taken from them at once: reading and seeding each sample took more time than training a small network.
    """
    if type(dataset) is not TensorDataset or len(dataset.tensors) != 2 or dataset.tensors[1].is_floating_point():
        return None
    inputs, labels = dataset.tensors
    return inputs, labels


class _DatasetBatches(Dataset[Batch]):
    """Whole batches as items: each sample is seeded by itself, whichever process reads it."""

    def __init__(
        self,
        dataset: Dataset[Any],
        parts: list[tuple[tuple[int, ...], Tensor]],
        part: tuple[int, int],
        collate: Callable[[list[Any]], Any] | None,
    ) -> None:
        self._dataset = dataset
        self._parts = parts
        self._part = part
        self._collate = collate or self._checked
        self._tensors = _input_and_label(dataset) if collate is None else None

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, step: int) -> Batch:
        key, indices = self._parts[step]
        first, stop = _bounds(len(indices), *self._part)
        if self._tensors is not None:
            inputs, labels = (tensor[indices[first:stop]].contiguous() for tensor in self._tensors)
            return inputs, labels
        samples = []
        for place in range(first, stop):
            with seeded(*key, place):
                samples.append(self._sample(int(indices[place])))
        return self._collate(samples)

    def _sample(self, index: int) -> Any:
        with user_code(f"sample {index} of {self._name} cannot be read", DataError):
            return self._dataset[index]

    def _checked(self, samples: list[Any]) -> Batch:
        first = samples[0]
        if not (isinstance(first, (tuple, list)) and len(first) == 2):
            raise DataError(f"a sample of {self._name} must be (input, label), got {type(first).__name__}")
        try:
            inputs, labels = default_collate([tuple(sample) for sample in samples])
        except (TypeError, RuntimeError) as problem:
            raise DataError(
                f"samples of {self._name} do not make a batch: {problem}; inputs must be tensors or arrays of one shape"
            ) from problem
        if not isinstance(inputs, Tensor) or not isinstance(labels, Tensor) or labels.is_floating_point():
            got = f"{type(inputs).__name__} and {getattr(labels, 'dtype', type(labels).__name__)}"
            raise DataError(f"a sample of {self._name} must be a tensor or array and an integer label, got {got}")
        if inputs.dtype == torch.uint8 or not (inputs.is_floating_point() or inputs.is_complex()):
            raise DataError(f"inputs of {self._name} must be float, got {inputs.dtype}: scale and normalise them")
        return inputs.to(torch.float32), labels.to(torch.int64)

    @property
    def _name(self) -> str:
        return type(self._dataset).__name__
