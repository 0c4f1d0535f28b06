"""scikit-learn's handwritten digits: 1,797 images of 8x8 pixels, ten classes (UCI, Alpaydin and Kaynak 1998)."""

from __future__ import annotations

import numpy as np
import torch

from edgeprune import extras
from edgeprune.model.data import Augment, Data, TensorSplit

with extras.required("recipes"):
    from sklearn.datasets import load_digits


def load() -> Data:
    """Split by position within each class: of every ten images two are for validation and two for test."""
    digits = load_digits()
    labels = torch.from_numpy(digits.target.astype(np.int64))
    images = torch.from_numpy(digits.images.astype(np.float32)).unsqueeze(1)
    position = torch.empty_like(labels)
    for label in range(10):
        members = (labels == label).nonzero().flatten()
        position[members] = torch.arange(len(members)) % 10

    def split(*positions: int, augment: Augment | None = None) -> TensorSplit:
        chosen = torch.isin(position, torch.tensor(positions))
        return TensorSplit(images[chosen] / 16, labels[chosen], mean=[0.305], std=[0.376], augment=augment)

    return Data(
        train=split(0, 1, 3, 4, 6, 8, augment=Augment(crop_padding=1)),
        validation=split(2, 7),
        test=split(5, 9),
        classes=tuple(str(name) for name in digits.target_names),
    )
