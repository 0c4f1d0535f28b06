"""The recipe: what to do to a model. ``recipes/<name>/recipe.toml``."""

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
from edgeprune.config.setting_types import Spec
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
        raise ValueError("a shape with the batch first, such as [1, 3, 32, 32]")
    if prod(value) > MAX_INPUT_ELEMENTS:
        raise ValueError(f"a shape of at most {MAX_INPUT_ELEMENTS:,} elements")
    return value


_Shape = Annotated[tuple[_Dimension, ...], Field(strict=False), AfterValidator(_has_dimensions)]


class ModelSettings(Settings):
    """Which network, with which weights.

    Attributes:
        factory: Builds the network without arguments: ``model.py:build`` beside the recipe, or ``package.module:name``.
        weights: ``.safetensors``, or ``.pt``/``.pth`` with tensors alone, relative to the recipe, or to
            the data folder. None: those the factory gives.
        rewind_weights: File of weights from early in the training of the same network, found like ``weights``; for
            schedules that rewind to them.
        input: Shape of the example input with the batch first, such as (1, 3, 32, 32).
    """

    factory: Spec
    weights: str | None = None
    rewind_weights: str | None = None
    input: _Shape


class DataSettings(Settings):
    """Which data set.

    Attributes:
        function: Gives the splits: ``data.py:load`` beside the recipe, or ``package.module:function``.
        dir: Folder handed to the function, relative to the recipe. ``${NAME:-default}`` stands for a variable of the
            environment. None: the function's own default.
    """

    function: Spec
    dir: str | None = None


class ScheduleSettings(Settings):
    """When units go: before, during or after training, at once or in rounds.

    Attributes:
        name: ``one_shot`` prunes the trained network, then fine-tunes; see ``edgeprune schedules``;
            ``file.py:Class`` for one's own.

    Other keys are options of the schedule: ``rounds = 5``.
    """

    model_config = ConfigDict(extra="allow")

    name: str = "one_shot"

    @property
    def options(self) -> dict[str, Any]:
        """The other keys: arguments of its constructor."""
        return dict(self.model_extra or {})


class ExportSettings(Settings):
    """How the network leaves PyTorch.

    Attributes:
        dynamic_batch: Leave the batch dimension open; False fixes it to the batch of ``model.input``.
        simplify: Run onnxsim.
        parity_samples: Validation samples on which exported models are compared with PyTorch; None: all.
    """

    dynamic_batch: bool = False
    simplify: bool = True
    parity_samples: Annotated[int, Field(ge=1)] | None = None


class QuantizeSettings(Settings):
    """Precision of what is shipped.

    Attributes:
        precision: ``auto`` makes every one that the target runs, and ships the one that is faster where it was measured
            and keeps the accuracy; another one is demanded.
        calibration: How ranges of activations are found: ``minmax``, ``percentile`` or ``entropy``. ``auto`` is
            ``percentile``, which changed the outputs of the packaged networks least (docs/results.md). Those of TFLite
            files are always by ``minmax``.
        samples: Training samples that ranges are found with.
        max_accuracy_drop: Share of the samples that a quantised model may lose against float32, on validation data;
            nodes are left in float until it holds.
        equalize: Even out weights across layers first (Nagel et al., 2019); not of TFLite files.
    """

    precision: Literal["auto", "float32", "float16", "int8"] = "auto"
    calibration: Literal["auto", "minmax", "percentile", "entropy"] = "auto"
    samples: Annotated[int, Field(ge=1)] = 256
    max_accuracy_drop: Annotated[float, Field(ge=0, le=1)] = 0.005
    equalize: bool = False


class Recipe(Settings):
    """A recipe file. ``folder`` is the folder of the file, to which paths are relative."""

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
        """The weights file: beside the recipe, else in the data folder; None where the factory brings its own."""
        return self._found(self.model.weights)

    @property
    def rewind_weights_path(self) -> Path | None:
        """File of the rewind weights, found in the same way; None if the recipe names none."""
        return self._found(self.model.rewind_weights)

    def _found(self, file: str | None) -> Path | None:
        if file is None:
            return None
        beside = self.folder / file
        if self.data_dir is not None and not beside.exists() and (self.data_dir / file).exists():
            return self.data_dir / file
        return beside

    @property
    def data_dir(self) -> Path | None:
        """The data folder, or None for the data function's own default."""
        return None if self.data.dir is None else self.folder / _VARIABLE.sub(_expanded, self.data.dir)

    @classmethod
    def load(cls, name_or_path: str | Path) -> Recipe:
        """Load a recipe: an explicit path (a folder with ``recipe.toml``, or the file), ``./recipes``, the package.

        Raises:
            RecipeError: Unknown name (lists the known ones), or a file that is not valid (lists every problem).
        """
        path = _find(name_or_path)
        return cls.parse(read_toml(path, RecipeError), folder=path.parent, where=file_lookup.shown(path))

    @classmethod
    def parse(cls, values: Mapping[str, Any], *, folder: Path, where: str) -> Recipe:
        """Build a recipe from the tables of a file; ``where`` names their origin in messages."""
        if "folder" in values:
            raise RecipeError(unknown_key("folder", cls, where))
        return validate(cls, {**values, "folder": folder}, where=where, error=RecipeError)

    @classmethod
    def available(cls) -> dict[str, Path]:
        """Recipe files by name: the working folder's ``recipes/`` and the packaged ones."""
        found: dict[str, Path] = {}
        for folder in file_lookup.folders("recipes"):
            for file in sorted(folder.glob(f"*/{_FILE}")):
                found.setdefault(file.parent.name, file)
        return dict(sorted(found.items()))

    @classmethod
    def names(cls) -> list[str]:
        """Names that ``load`` takes."""
        return list(cls.available())

    def for_target(self, *names: str) -> Recipe:
        """The same recipe with the budget of one target, which is called any of ``names``."""
        return self.model_copy(update={"budget": self.budget.for_target(*names)})

    def override(self, settings: Mapping[str, Any], *, where: str = "the settings given") -> Recipe:
        """The same recipe with some settings replaced, by dotted key: ``{"training.epochs": 1}``.

        Raises:
            RecipeError: An unknown key, or a value that is not allowed.
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
    """The value of a variable, which is relative to the working folder as everywhere else, or its default."""
    value = os.environ.get(variable[1])
    if value:
        return str(Path(value).absolute())
    if variable[2] is None:
        raise RecipeError(
            f"data.dir: the environment variable {variable[1]} is not set, and {variable[0]} has no default"
        )
    return variable[2]


def _find(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.is_dir() and (path / _FILE).is_file():
        return path / _FILE
    if path.is_file():
        return path
    known = Recipe.available()
    name = str(name_or_path)
    if name in known:
        return known[name]
    near = nearest(name, list(known))
    hint = f"did you mean '{near}'? " if near else ""
    raise RecipeError(
        f"unknown recipe '{name}': {hint}known recipes: {', '.join(known) or 'none'}; "
        f"or give the path of a folder with a {_FILE}"
    )
