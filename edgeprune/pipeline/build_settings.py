"""Settings and folders of a build, and values derived from the recipe and the target."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgeprune.config import Recipe, Target, TrainingSettings
from edgeprune.config.target import Precision
from edgeprune.errors import RecipeError

if TYPE_CHECKING:
    from edgeprune.devices import Device


def bundle_folder(recipe: Recipe, target: Target, output: Path) -> Path:
    """Return the folder of the bundle in the output folder of a build."""
    return output / f"{recipe.name}-{target.name}"


def preferred_alignment(recipe: Recipe, target: Target) -> int:
    """Return the channel multiple that the target's runtime prefers; 1 if there is none or the recipe sets one."""
    runtime = target.runtime
    int8 = runtime.align_int8 if demanded_precision(recipe, target) == "int8" else None
    return 1 if isinstance(recipe.prune.align, int) else (int8 or runtime.align)


def precisions(recipe: Recipe, target: Target) -> tuple[Precision, ...]:
    """Return the precisions to export: float32 as the reference, and the demanded one or all that the target supports.

    Raises:
        RecipeError: The target does not support the demanded precision.
    """
    demanded = demanded_precision(recipe, target)
    return tuple(dict.fromkeys(("float32", *(target.runtime.precisions if demanded == "auto" else (demanded,)))))


def demanded_precision(recipe: Recipe, target: Target) -> Precision | Literal["auto"]:
    """Return the precision that recipe or target demand; ``auto`` if there is a choice.

    Raises:
        RecipeError: The target does not support the demanded precision.
    """
    demanded, supported = recipe.quantize.precision, target.runtime.precisions
    if demanded == "auto":
        return supported[0] if len(supported) == 1 else "auto"
    if demanded not in supported:
        raise RecipeError(
            f"quantize.precision: got '{demanded}', but {target.name} supports only {', '.join(supported)}: set one "
            "of them, or 'auto'"
        )
    return demanded


def measured_settings(training: TrainingSettings) -> tuple[str, ...]:
    """Return the names of the training settings that a measurement decides."""
    return tuple(name for name in ("precision", "channels_last") if getattr(training, name) == "auto")


@dataclass(frozen=True)
class BuildSettings:
    """Settings and folders of one build.

    Attributes:
        recipe: Recipe of the build.
        target: Board and runtime.
        output: Folder for bundles.
        device: Device on which models are measured.
        force: Whether the bundle may replace files that are not an earlier bundle.
    """

    recipe: Recipe
    target: Target
    output: Path
    device: Device
    force: bool = False

    @property
    def bundle_folder(self) -> Path:
        """Folder of the bundle."""
        return bundle_folder(self.recipe, self.target, self.output)

    @cached_property
    def archive(self) -> Path:
        """Archive of the bundle."""
        from edgeprune.bundle import pack

        return pack.archive_of(self.bundle_folder)
