"""Networks that a backend converts, and the files it makes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeprune.config import Target
from edgeprune.progress import SILENT, Progress

if TYPE_CHECKING:
    from edgeprune.config.recipe import QuantizeSettings
    from edgeprune.model.data import Split


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """A float32 file of the backend, and what files in other precisions are made from.

    Attributes:
        file: The float32 file, as ``Backend.write_float32`` returned it.
        folder: Folder for the new files.
        target: The target.
        samples: Training samples that activation ranges are taken from.
        seed: Seed that draws from ``samples``.
        progress: Advances by a sample.
    """

    file: Path
    folder: Path
    target: Target
    samples: Split
    seed: int
    progress: Progress = SILENT


@dataclass(frozen=True, kw_only=True)
class Quantization(Conversion):
    """A conversion of the pruned network, as the recipe asks for it.

    Attributes:
        settings: ``quantize`` of the recipe.
        accuracy: Function that returns the accuracy of a model file on validation data, 0 to 1.
        float32_accuracy: ``accuracy`` of ``file``.
    """

    settings: QuantizeSettings
    accuracy: Callable[[Path], float]
    float32_accuracy: float


@dataclass(frozen=True, kw_only=True)
class ConvertedModel:
    """A network in one precision.

    Attributes:
        files: Its files. The first runs on this machine; the others are forms of it for other versions of the runtime.
        accuracy: Accuracy of the first on validation data, 0 to 1.
        float_nodes: Names of nodes that were kept in float32.
    """

    files: tuple[Path, ...]
    accuracy: float | None
    float_nodes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ShippedModel:
    """The model of a bundle.

    Attributes:
        file: The model file.
        name: Name of the bundle.
        target: The target.
        samples: Split whose first samples become golden vectors.
        other_files: Its other forms, see ``ConvertedModel.files``.
    """

    file: Path
    name: str
    target: Target
    samples: Split
    other_files: tuple[Path, ...] = ()
