"""CIFAR-10 (Krizhevsky 2009) from two files of JPEGs: 45,000 training and 5,000 validation images, and a test part."""

from __future__ import annotations

import io
import os
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from edgeprune import extras
from edgeprune.errors import DataError
from edgeprune.model.data import Augment, Data, TensorSplit

with extras.required("recipes"):
    from PIL import Image

_VALIDATION = 5000  # the last images of train.npz, which is shuffled
_NORMALIZE = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_WANTED = (
    "train.npz and test.npz, each with the arrays jpeg (uint8, all JPEG files one after another), "
    "offsets (int64, n + 1), labels (uint8) and classes (names); image i is jpeg[offsets[i]:offsets[i + 1]], 32x32 RGB"
)


def load(folder: Path | None = None) -> Data:
    """Open the images; None looks for the folder as ``default_folder`` does."""
    folder = default_folder() if folder is None else folder
    for name in ("train.npz", "test.npz"):
        if not (folder / name).is_file():
            raise DataError(
                f"{folder / name} does not exist. Set the folder with --data-dir, data.dir in the recipe, or "
                "EDGEPRUNE_DATA "
                f"(the folder that contains cifar10/); expected there: {_WANTED}"
            )
    train, test = _Archive(folder / "train.npz"), _Archive(folder / "test.npz")
    cut = len(train.labels) - _VALIDATION
    if cut <= 0:
        raise DataError(f"{train.path}: expected more than {_VALIDATION} images, got {len(train.labels)}")
    return Data(
        train=JpegSplit(train, slice(0, cut), augment=Augment(crop_padding=4, flip=True)),
        validation=JpegSplit(train, slice(cut, None)),
        test=JpegSplit(test, slice(None)),
        classes=train.classes,
    )


def default_folder() -> Path:
    """``EDGEPRUNE_DATA/cifar10``, else ``shared/cifar10`` at or above the recipe, then the working folder."""
    root = os.environ.get("EDGEPRUNE_DATA")
    if root:
        return Path(root) / "cifar10"
    starts = (Path(__file__).resolve().parent, Path.cwd())
    candidates = [above / "shared" / "cifar10" for start in starts for above in (start, *start.parents)]
    return next((folder for folder in candidates if folder.is_dir()), Path("shared", "cifar10").absolute())


class _Archive:
    """The arrays of one file."""

    def __init__(self, path: Path) -> None:
        try:
            with np.load(path) as arrays:
                jpeg, offsets, labels, classes = (arrays[name] for name in ("jpeg", "offsets", "labels", "classes"))
        except (OSError, ValueError, KeyError, BadZipFile) as problem:
            raise DataError(f"cannot read {path}: {problem}; expected {_WANTED}") from problem
        if len(offsets) != len(labels) + 1 or offsets[-1] > len(jpeg):
            got = f"{len(offsets)} offsets, {len(labels)} labels and {len(jpeg)} bytes"
            raise DataError(f"{path}: {got} are inconsistent; expected {_WANTED}")
        self.path = path
        self.jpeg = jpeg.tobytes()
        self.offsets = offsets.tolist()
        self.labels = torch.from_numpy(labels.astype(np.int64))
        self.classes = tuple(str(name) for name in classes)

    def decode(self, index: int) -> np.ndarray:
        """Image ``index`` as (3, 32, 32) uint8."""
        content = io.BytesIO(self.jpeg[self.offsets[index] : self.offsets[index + 1]])
        try:
            with Image.open(content, formats=("JPEG",)) as image:
                pixels = np.asarray(image)
        except OSError as problem:
            raise DataError(f"{self.path}: image {index} is not a valid JPEG file: {problem}") from problem
        if pixels.shape != (32, 32, 3):
            raise DataError(f"{self.path}: expected image {index} to be 32x32 RGB, got the shape {pixels.shape}")
        return pixels.transpose(2, 0, 1)


class JpegSplit(TensorSplit):
    """Images of an archive, each decoded when it is first asked for, then kept.

    So a build that finds its results in the cache decodes nothing. In one thread: Pillow needs 60 us for such an image,
    most of it in Python, and a second thread made it slower.
    """

    def __init__(self, archive: _Archive, part: slice, *, augment: Augment | None = None) -> None:
        labels = archive.labels[part]
        images = torch.empty((len(labels), 3, 32, 32), dtype=torch.uint8)
        super().__init__(images, labels, augment=augment, **_NORMALIZE)
        self._archive = archive
        self._first = part.start or 0
        self._decoded = torch.zeros(len(labels), dtype=torch.bool)

    def take(self, indices: Tensor) -> Tensor:
        for index in indices[~self._decoded[indices]].tolist():
            self.images[index] = torch.tensor(self._archive.decode(self._first + index))
        self._decoded[indices] = True
        return super().take(indices)
