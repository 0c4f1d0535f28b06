"""A split of a map-style dataset, read by worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset, default_collate

from edgeprune.errors import DataError
from edgeprune.model.batches import Batch, index_batches, part_bounds
from edgeprune.model.seeding import seeded
from edgeprune.model.user_code_guard import user_code


class DatasetSplit:
    """A split over a user's own map-style ``torch.utils.data.Dataset`` of (input, label) samples.

    Random numbers of the data set, for example in torchvision transforms, are seeded for each sample, so that they are
    repeatable.

    Args:
        dataset: Data set of samples (input, label): a tensor or array, and an integer or a tensor or array of integers.
        workers: Number of processes that read batches ahead, without an effect on the batches. 0: none.
        collate: Function from a list of samples to a batch, for other samples (boxes, masks, texts), which are not
            checked; ``training.loss`` or ``training.step`` must interpret them.
    """

    def __init__(
        self, dataset: Dataset[Any], *, workers: int = 0, collate: Callable[[list[Any]], Any] | None = None
    ) -> None:
        if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
            raise DataError(
                f"expected a map-style data set with __len__ and __getitem__, which returns (input, label), "
                f"got {type(dataset).__name__}"
            )
        self._dataset = dataset
        self._workers = workers
        self._collate = collate

    def __len__(self) -> int:
        return len(self._dataset)

    def content(self) -> list[Any] | None:
        """Return all values that determine the samples if the data set is known to be in memory; otherwise None."""
        return None if type(self) is not DatasetSplit else _content(self._dataset)

    def read_some(self, count: int) -> None:
        """Read about ``count`` samples, spread evenly over the data set, in this process."""
        for index in range(0, len(self), max(1, len(self) // count)):
            with seeded(index):
                _ = self._dataset[index]

    def part(self, indices: Tensor) -> DatasetSplit:
        """Return a split of the samples at ``indices``."""
        return DatasetSplit(Subset(self._dataset, indices.tolist()), workers=self._workers, collate=self._collate)

    def batches(
        self,
        size: int,
        *,
        rng_key: tuple[int, ...] | None = None,
        start: int = 0,
        augment: bool = True,  # not used: the data set itself augments its samples
        part: tuple[int, int] = (0, 1),
    ) -> Iterator[Batch]:
        """See ``Split.batches``, and ``read_part`` for ``part``."""
        batches = _DatasetBatches(self._dataset, index_batches(len(self), size, rng_key, start), part, self._collate)
        if self._workers:
            own = torch.Generator()  # otherwise the DataLoader draws an unused seed from the global generator
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
    """Return the two tensors of a TensorDataset with class labels, which has no randomness; None for other data sets.

    Whole batches are indexed in them: reading and seeding each sample took longer than training a small network.
    """
    if type(dataset) is not TensorDataset or len(dataset.tensors) != 2 or dataset.tensors[1].is_floating_point():
        return None
    inputs, labels = dataset.tensors
    return inputs, labels


class _DatasetBatches(Dataset[Batch]):
    """Data set of whole batches: each sample has its own seed, independent of the process that reads it."""

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
        first, stop = part_bounds(len(indices), *self._part)
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
            raise DataError(f"samples of {self._name} must be (input, label), got {type(first).__name__}")
        try:
            inputs, labels = default_collate([tuple(sample) for sample in samples])
        except (TypeError, RuntimeError) as problem:
            raise DataError(
                f"inputs of {self._name} must be tensors or arrays of one shape, to be stacked to a batch: {problem}"
            ) from problem
        if not isinstance(inputs, Tensor) or not isinstance(labels, Tensor) or labels.is_floating_point():
            actual = f"{type(inputs).__name__} and {getattr(labels, 'dtype', type(labels).__name__)}"
            raise DataError(f"samples of {self._name} must be a tensor or array and an integer label, got {actual}")
        if inputs.dtype == torch.uint8 or not (inputs.is_floating_point() or inputs.is_complex()):
            raise DataError(f"inputs of {self._name} must be float, got {inputs.dtype}: scale and normalize them")
        return inputs.to(torch.float32), labels.to(torch.int64)

    @property
    def _name(self) -> str:
        return type(self._dataset).__name__
