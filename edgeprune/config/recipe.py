"""Recipe: the settings of a build, in ``recipes/<name>/recipe.toml``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, field_validator

from edgeprune.config import file_lookup
from edgeprune.config.budget_limits import RecipeBudget
from edgeprune.config.prune_settings import PruneSettings
from edgeprune.config.setting_types import Factory, Spec
from edgeprune.config.settings_base import Name, Settings, nearest, read_toml, unknown_key, validate
from edgeprune.config.training_settings import TrainingSettings
from edgeprune.errors import RecipeError

_FILE = "recipe.toml"
_BY_TARGET = "budget.targets."
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_Dimension = Annotated[int, Field(ge=1)]
MAX_INPUT_ELEMENTS = 1 << 28
"""Largest example input in elements: 1 GiB of float32."""


def _has_dimensions(value: tuple[int, ...]) -> tuple[int, ...]:
    if not value:
        raise ValueError("a shape with the batch size first, such as [1, 3, 32, 32]")
    if prod(value) > MAX_INPUT_ELEMENTS:
        raise ValueError(f"a shape of at most {MAX_INPUT_ELEMENTS:,} elements")
    return value


_Shape = Annotated[tuple[_Dimension, ...], Field(strict=False), AfterValidator(_has_dimensions)]


class ModelSettings(Settings):
    """Network and weights.

    Attributes:
        factory: Function without arguments that returns the network: ``model.py:build`` next to the recipe, or
            ``package.module:name``. Or a float ONNX file, such as ``net.onnx``, relative to the recipe.
        weights: Weights file: ``.safetensors``, or ``.pt``/``.pth`` with tensors only, relative to the recipe or to the
            data folder. None: the weights that the factory returns.
        rewind_weights: Weights file from early in the training of the same network, located like ``weights``, for
            schedules that rewind to it.
        input: Shape of the example input with the batch first, such as (1, 3, 32, 32).
    """

    factory: Factory
    weights: str | None = None
    rewind_weights: str | None = None
    input: _Shape


class DataSettings(Settings):
    """Data set.

    Attributes:
        function: Function that returns the splits: ``data.py:load`` next to the recipe, or ``package.module:function``.
        dir: Folder that is passed to the function, relative to the recipe. ``${NAME:-default}`` is replaced by an
            environment variable. None: the default of the function.
    """

    function: Spec
    dir: str | None = None


class ScheduleSettings(Settings):
    """Pruning schedule: when units are removed before, during or after training.

    Attributes:
        name: Name of the schedule, see ``edgeprune schedules``, or ``file.py:Class`` for your own. ``one_shot`` prunes
            the trained network, then fine-tunes it.

    Other keys are options of the schedule: ``rounds = 5``.
    """

    model_config = ConfigDict(extra="allow")

    name: str = "one_shot"

    @property
    def options(self) -> dict[str, Any]:
        """Other keys: arguments of the constructor of the schedule."""
        return dict(self.model_extra or {})


class ExportSettings(Settings):
    """Export of the network to ONNX.

    Attributes:
        dynamic_batch: Whether the batch dimension is dynamic; otherwise it is that of ``model.input``.
        simplify: Whether to run onnxsim.
        parity_samples: Number of validation samples on which exported models are compared with PyTorch. None: all.
    """

    dynamic_batch: bool = False
    simplify: bool = True
    parity_samples: Annotated[int, Field(ge=1)] | None = None


class QuantizeSettings(Settings):
    """Precision of the exported model.

    Attributes:
        precision: Required precision. ``auto`` exports every precision that the target supports, and selects the one
            that is measurably faster and keeps the accuracy.
        calibration: Calibration method for ranges of activations: ``minmax``, ``percentile`` or ``entropy``. ``auto``
            is ``percentile``, which changed the outputs of the packaged networks least (docs/benchmarks/results.md).
            TFLite files always use ``minmax``.
        samples: Number of training samples for calibration.
        max_accuracy_drop: Maximum drop of the accuracy of a quantized model below float32 on validation data, as a
            fraction of the samples. Nodes remain in float32 until it is satisfied.
        equalize: Whether to equalize weights across layers first (Nagel et al., 2019); not for TFLite files.
    """

    precision: Literal["auto", "float32", "float16", "int8"] = "auto"
    calibration: Literal["auto", "minmax", "percentile", "entropy"] = "auto"
    samples: Annotated[int, Field(ge=1)] = 256
    max_accuracy_drop: Annotated[float, Field(ge=0, le=1)] = 0.005
    equalize: bool = False


class Recipe(Settings):
    """A recipe file. ``folder`` is the folder of the file, to which paths are relative.

    Attributes:
        name: Name of the recipe, the first part of the name of the bundle: letters, digits, ``.``, ``_`` and ``-``.
        description: One line for lists of recipes.
        seed: Seed of all random choices.
    """

    name: Name
    description: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    model: ModelSettings
    data: DataSettings
    prune: PruneSettings = PruneSettings()
    budget: RecipeBudget
    schedule: ScheduleSettings = ScheduleSettings()
    training: TrainingSettings = TrainingSettings()
    export: ExportSettings = ExportSettings()
    quantize: QuantizeSettings = QuantizeSettings()
    folder: Annotated[Path, Field(exclude=True)] = Path()

    @field_validator("folder")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.resolve()

    @property
    def weights_path(self) -> Path | None:
        """Weights file: next to the recipe, otherwise in the data folder; None if the factory returns the weights."""
        return self._locate(self.model.weights)

    @property
    def rewind_weights_path(self) -> Path | None:
        """File of the rewind weights, located in the same way; None if the recipe has none."""
        return self._locate(self.model.rewind_weights)

    def _locate(self, file: str | None) -> Path | None:
        if file is None:
            return None
        path = self.folder / file
        if self.data_dir is not None and not path.exists() and (self.data_dir / file).exists():
            return self.data_dir / file
        return path

    @property
    def data_dir(self) -> Path | None:
        """Data folder; None: the default of the data function."""
        return None if self.data.dir is None else self.folder / _VARIABLE.sub(_expanded, self.data.dir)

    @classmethod
    def load(cls, name_or_path: str | Path) -> Recipe:
        """Load a recipe: an explicit path (a folder with ``recipe.toml``, or the file), ``./recipes``, the package.

        Raises:
            RecipeError: The name is unknown (the message lists the known ones), or the file is not valid (the message
                lists every problem).
        """
        path = _find(name_or_path)
        return cls.parse(read_toml(path, RecipeError), folder=path.parent, where=file_lookup.display_path(path))

    @classmethod
    def parse(cls, values: Mapping[str, Any], *, folder: Path, where: str) -> Recipe:
        """Create a recipe from the tables of a file; ``where`` names their origin in messages."""
        if "folder" in values:
            raise RecipeError(unknown_key("folder", cls, where))
        return validate(cls, {**values, "folder": folder}, where=where, error=RecipeError)

    @classmethod
    def available(cls) -> dict[str, Path]:
        """Return the recipe files by name: those in ``recipes/`` of the working folder and the packaged ones."""
        files: dict[str, Path] = {}
        for folder in file_lookup.folders("recipes"):
            for file in sorted(folder.glob(f"*/{_FILE}")):
                files.setdefault(file.parent.name, file)
        return dict(sorted(files.items()))

    @classmethod
    def names(cls) -> list[str]:
        """Return the names that ``load`` accepts."""
        return list(cls.available())

    def for_target(self, *names: str) -> Recipe:
        """Return a copy with the budget of the target that has any of ``names``."""
        return self.model_copy(update={"budget": self.budget.for_target(*names)})

    def override(self, settings: Mapping[str, Any], *, where: str = "the overridden settings") -> Recipe:
        """Return a copy with some settings replaced, by dotted key: ``{"training.epochs": 1}``.

        Raises:
            RecipeError: A key is unknown, or a value is not allowed.
        """
        values = self.model_dump()
        for key, value in settings.items():
            *tables, last = key.split(".")
            table: Any = values
            for name in tables:
                if key.startswith(_BY_TARGET):
                    table.setdefault(name, {})
                table = table.get(name)
                if not isinstance(table, dict):
                    raise RecipeError(unknown_key(key, type(self), where))
            table[last] = value
        return type(self).parse(values, folder=self.folder, where=where)


def _expanded(variable: re.Match[str]) -> str:
    """Return the value of an environment variable, relative to the working folder, or its default."""
    value = os.environ.get(variable[1])
    if value:
        return str(Path(value).absolute())
    if variable[2] is None:
        raise RecipeError(
            f"data.dir: the environment variable {variable[1]} is not set: set it, or write ${{{variable[1]}:-DEFAULT}}"
        )
    return variable[2]


def _find(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.is_dir() and (path / _FILE).is_file():
        return path / _FILE
    if path.is_file():
        return path
    available = Recipe.available()
    name = str(name_or_path)
    if name in available:
        return available[name]
    near = nearest(name, list(available))
    hint = f"; did you mean '{near}'?" if near else ""
    raise RecipeError(
        f"unknown recipe '{name}': expected the path of a folder with {_FILE}, or one of the known recipes "
        f"({', '.join(available) or 'none'}){hint}"
    )
