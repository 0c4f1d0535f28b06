"""Inputs and results of a backend's conversion of a network."""

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
    """Inputs of a conversion: a float32 file of the backend, and samples for calibration.

    Attributes:
        file: The float32 file, as ``Backend.write_float32`` returned it.
        folder: Folder for the new files.
        target: Target of the conversion.
        samples: Training samples for the calibration of activation ranges.
        seed: Seed of the random selection from ``samples``.
        progress: Progress indicator, which advances by one for each sample.
    """

    file: Path
    folder: Path
    target: Target
    samples: Split
    seed: int
    progress: Progress = SILENT


@dataclass(frozen=True, kw_only=True)
class Quantization(Conversion):
    """A conversion of the pruned network with the settings of the recipe.

    Attributes:
        settings: Table ``quantize`` of the recipe.
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
        files: Model files. The first runs on this machine; the others are variants for other versions of the runtime.
        accuracy: Accuracy of the first file on validation data, 0 to 1.
        float_nodes: Names of the nodes that remain in float32.
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
        target: Target of the bundle.
        samples: Split whose first samples become golden vectors.
        other_files: Other variants of the model, see ``ConvertedModel.files``.
    """

    file: Path
    name: str
    target: Target
    samples: Split
    other_files: tuple[Path, ...] = ()
