"""Network of a new project: the user's own, one of torchvision, or a small one to begin with."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from math import prod
from typing import Any

from edgeprune.errors import InputError, MissingPackageError, ModelError
from edgeprune.model.user_code_guard import user_code
from edgeprune.scaffold.file_templates import filled

_LIBRARY = "torchvision"
_IMAGE = (3, 64, 64)
_IMAGENET_IMAGE = (3, 224, 224)


@dataclass(frozen=True)
class LibraryNetwork:
    """A network of torchvision.

    Attributes:
        name: Name in ``torchvision.models``.
        sample: Shape of an image, (C, H, W).
        mean: Mean of each channel of the images that it was trained on.
        std: Standard deviation of each channel.
    """

    name: str
    sample: tuple[int, ...] = _IMAGENET_IMAGE
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    def code(self, sample: tuple[int, ...], classes: int) -> str:
        """Return the content of ``model.py``."""
        return filled("torchvision_model.py", model=self.name, classes=classes, dimensions=", ".join(map(str, sample)))


def library_network(source: str) -> LibraryNetwork:
    """Return the network that ``source`` names, such as ``torchvision:resnet18``.

    Raises:
        InputError: The source has another form, or the network does not exist.
        MissingPackageError: torchvision is not installed.
        ModelError: torchvision cannot be imported.
    """
    library, colon, name = source.partition(":")
    if library != _LIBRARY or not (colon and name):
        raise InputError(f"--from: got '{source}', must be {_LIBRARY}:NAME, such as {_LIBRARY}:resnet18")
    models = _torchvision_models()
    names: list[str] = models.list_models()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "torchvision.models.list_models() lists its networks"
        raise InputError(f"--from: {_LIBRARY} has no network '{name}'; {hint}")
    try:
        preset = models.get_model_weights(name).DEFAULT.transforms()
        (pixels,), mean, std = preset.crop_size, preset.mean, preset.std
    except (AttributeError, TypeError, ValueError):  # no trained weights, or of another task
        return LibraryNetwork(name)
    return LibraryNetwork(name, (len(mean), pixels, pixels), tuple(mean), tuple(std))


def _torchvision_models() -> Any:
    try:
        with user_code(f"{_LIBRARY} cannot be imported", ModelError):
            from torchvision import models
    except ModelError as problem:
        if isinstance(problem.__cause__, ModuleNotFoundError) and problem.__cause__.name == _LIBRARY:
            raise MissingPackageError(
                f"the Python package {_LIBRARY} is not installed: pip install {_LIBRARY}, in the release that fits "
                "the installed torch"
            ) from problem
        raise
    return models


def small_network(sample: tuple[int, ...], classes: int) -> str:
    """Return the content of ``model.py`` for samples of shape ``sample``: a small CNN for images, otherwise an MLP."""
    if len(sample) == len(_IMAGE):
        return filled("small_cnn.py", channels=sample[0], classes=classes)
    return filled("mlp.py", features=prod(sample), dimensions=", ".join(map(str, sample)), classes=classes)
