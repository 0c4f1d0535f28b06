"""The hash of a split depends on its samples, labels and their order, and on nothing else."""

from __future__ import annotations

import torch

from edgeprune.model.data import TensorSplit
from edgeprune.model.split_hash import HashedSplit


def hashed(images: torch.Tensor, labels: torch.Tensor, size: int = 4) -> str:
    split = HashedSplit(TensorSplit(images, labels))
    assert sum(len(batch[1]) for batch in split.batches(size)) == len(split)
    return split.sha256


def test_only_samples_and_their_order_count() -> None:
    images = torch.randint(0, 256, (10, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(10) % 3
    expected = hashed(images, labels)
    assert hashed(images, labels, 1) == hashed(images, labels, 10) == expected
    other = labels.clone()
    other[3] += 1
    brighter = images.clone()
    brighter[9, 0, 3, 3] ^= 1
    changed = [
        hashed(images, other),
        hashed(brighter, labels),
        hashed(images.flip(0), labels.flip(0)),
        hashed(images[:9], labels[:9]),
        hashed(images.reshape(10, 1, 2, 8), labels),
    ]
    assert len({expected, *changed}) == 6


def test_second_pass_has_the_same_hash() -> None:
    split = HashedSplit(TensorSplit(torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.zeros(3, dtype=torch.long)))
    results = []
    for _ in range(2):
        list(split.batches(2))
        results.append(split.sha256)
    assert results[0] == results[1]
