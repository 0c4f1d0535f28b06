"""Data of a new project: images in folders, a file of tensors, or random samples in place of the user's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from edgeprune.errors import DataError
from edgeprune.scaffold.file_templates import filled

_IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
_TENSORS = (".npz", ".pt", ".pth")
_TRAIN, _TEST = "train", "test"
_VALIDATION = ("validation", "valid", "val")
_MODES = {1: "L", 3: "RGB"}
_DEFAULT_IMAGE = (3, 64, 64)
_DEFAULT_SHAPE = (3, 32, 32)
_RANDOM_ELEMENTS = 1 << 24
"""Largest number of elements of all random training samples: 64 MiB of float32."""


@dataclass(frozen=True)
class DataSource:
    """Data that ``data.py`` reads.

    Attributes:
        code: Content of ``data.py``.
        sample: Shape of a sample.
        classes: Number of classes.
        folder: Folder that is passed to the data function; None if it needs none.
    """

    code: str
    sample: tuple[int, ...]
    classes: int
    folder: Path | None = None


def random_samples(sample: tuple[int, ...] | None, classes: int) -> DataSource:
    """Return random samples of ``classes``, which a network can learn to distinguish."""
    sample = sample or _DEFAULT_SHAPE
    count = max(20, min(800, _RANDOM_ELEMENTS // prod(sample)))
    code = filled("random_samples.py", classes=classes, shape=sample, train=count, validation=max(20, count // 8))
    return DataSource(code, sample, classes)


def of_path(
    path: Path,
    sample: tuple[int, ...] | None,
    *,
    default: tuple[int, ...] = _DEFAULT_IMAGE,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
) -> DataSource:
    """Return the source for a folder of images or a file of tensors.

    Args:
        path: Folder with one folder of images for each class, alone or in ``train`` and ``validation``; or a ``.pt`` or
            ``.npz`` file of inputs and labels, or its folder.
        sample: Shape of a sample. None: that of the tensors, or ``default`` for images.
        default: Shape of an image after it is resized.
        mean: Mean of each channel of the images. None: 0.5.
        std: Standard deviation of each channel. None: 0.5.

    Raises:
        DataError: The path holds neither.
    """
    if path.is_file() and path.suffix in _TENSORS:
        return _of_tensors(path)
    if not path.is_dir():
        raise DataError(f"--data-dir: no folder {path}")
    files = [file for file in sorted(path.iterdir()) if file.suffix in _TENSORS]
    if len(files) == 1:
        return _of_tensors(files[0])
    train = path / _TRAIN if (path / _TRAIN).is_dir() else path
    classes = _class_folders(train)
    if not classes:
        raise DataError(
            f"--data-dir: {path} must hold one folder of images for each class, also inside {_TRAIN}/ and "
            f"{_VALIDATION[0]}/, or one {' or '.join(_TENSORS)} file of inputs and labels; otherwise write a data "
            "function, and name it with --data"
        )
    shape = sample or default
    if len(shape) != 3 or shape[0] not in _MODES:
        raise DataError(f"--input: {path} holds images, whose shape must be N,1,H,W or N,3,H,W; got {_listed(shape)}")
    channels = shape[0]
    code = filled(
        "image_folders.py",
        height=shape[1],
        width=shape[2],
        mean=mean if mean is not None and len(mean) == channels else (0.5,) * channels,
        std=std if std is not None and len(std) == channels else (0.5,) * channels,
        train='(folder / "train")' if (path / _TRAIN).is_dir() else "folder",
        mode=_MODES[channels],
        splits=_split_lines(path),
    )
    return DataSource(code, shape, len(classes), path)


def _class_folders(folder: Path) -> list[Path]:
    """Return the folders in ``folder`` if any of them holds images."""
    folders = [inner for inner in sorted(folder.iterdir()) if inner.is_dir() and not inner.name.startswith(".")]
    has_images = any(file.suffix.lower() in _IMAGES for inner in folders for file in inner.iterdir())
    return folders if has_images else []


def _split_lines(folder: Path) -> str:
    """Return the lines of code that create the splits of a folder of images."""
    if not (folder / _TRAIN).is_dir():
        parts = {"train": "range(2, 10)", "validation": "range(1)", "test": "range(1, 2)"}
        return "\n".join(f'        "{role}": ImageFolders(folder, classes, {part}),' for role, part in parts.items())
    validation = next((name for name in _VALIDATION if (folder / name).is_dir()), None)
    if validation is None:
        raise DataError(f"--data-dir: {folder} has {_TRAIN}/, but none of {', '.join(_VALIDATION)} beside it")
    names = {"train": _TRAIN, "validation": validation, **({"test": _TEST} if (folder / _TEST).is_dir() else {})}
    return "\n".join(f'        "{role}": ImageFolders(folder / "{name}", classes),' for role, name in names.items())


def _of_tensors(path: Path) -> DataSource:
    """Return the source for a file of inputs and labels.

    Raises:
        DataError: The file cannot be read, or does not hold inputs and labels.
    """
    stored = _arrays(path) if path.suffix == ".npz" else _tensors(path)
    inputs, labels, names = _pair(stored, path)
    load, imports = "torch.load(folder / FILE, weights_only=True)", "import torch"
    if path.suffix == ".npz":
        load, imports = "np.load(folder / FILE)", "import numpy as np\nimport torch"
    read = f"inputs, labels = {load}"
    if isinstance(stored, Mapping):
        tensors = [f"stored[{json.dumps(name)}]" for name in names]
        if path.suffix == ".npz":
            tensors = [f"torch.from_numpy({array})" for array in tensors]
        read = f"stored = {load}\n    inputs, labels = {', '.join(tensors)}"
    code = filled("tensor_file.py", file=json.dumps(path.name), imports=imports, read=read)
    return DataSource(code, tuple(inputs.shape[1:]), int(labels.max()) + 1, path.parent)


def _tensors(path: Path) -> Any:
    import torch

    try:
        return torch.load(path, weights_only=True)
    except Exception as problem:
        raise DataError(f"--data-dir: cannot read {path}: {str(problem).splitlines()[0]}") from problem


def _arrays(path: Path) -> Mapping[str, Any]:
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError) as problem:
        raise DataError(f"--data-dir: cannot read {path}: {problem}") from problem


def _pair(stored: Any, path: Path) -> tuple[Any, Any, tuple[str, ...]]:
    """Return inputs and labels, and their names in a mapping.

    The labels are the integers of one dimension; the inputs have more dimensions or are floating point.
    """
    named = dict(stored) if isinstance(stored, Mapping) else dict(enumerate(stored))
    if len(named) == 2 and all(hasattr(value, "dtype") and len(value.shape) for value in named.values()):
        labels = [key for key, value in named.items() if len(value.shape) == 1 and "int" in str(value.dtype)]
        inputs = [key for key in named if key not in labels]
        if len(labels) == len(inputs) == 1 and len(named[labels[0]]) == len(named[inputs[0]]) > 0:
            in_order = isinstance(stored, Mapping) or labels == [1]
            if in_order:
                return named[inputs[0]], named[labels[0]], (str(inputs[0]), str(labels[0]))
    raise DataError(
        f"--data-dir: {path} must hold two tensors, the inputs (N, ...) and the integer labels (N,), in this order or "
        "by name; otherwise write a data function, and name it with --data"
    )


def _listed(shape: tuple[int, ...]) -> str:
    return ",".join(map(str, ("N", *shape)))
