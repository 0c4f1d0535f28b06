"""Files of a new project: recipe.toml, and model.py and data.py unless the user names code of their own."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeprune.config import Recipe
from edgeprune.config.setting_types import is_onnx_file
from edgeprune.config.settings_base import parse_toml
from edgeprune.errors import InputError
from edgeprune.files import write_atomic
from edgeprune.scaffold import data_source, network_source
from edgeprune.scaffold.data_source import DataSource
from edgeprune.scaffold.file_templates import filled
from edgeprune.scaffold.network_source import LibraryNetwork

RECIPE, MODEL, DATA = "recipe.toml", "model.py", "data.py"
_CLASSES = 10


@dataclass(frozen=True, kw_only=True)
class ProjectOptions:
    """Choices for a new project. None: not chosen.

    Attributes:
        library: Network of a library, such as ``torchvision:resnet18``.
        model: Factory of the user's network: ``file.py:name`` or ``package.module:name``.
        weights: Weights file of the network.
        data: Data function of the user, ``file.py:name`` or ``package.module:name``.
        data_dir: Folder of the data, or a file of tensors.
        shape: Shape of the input with the batch first.
        name: Name of the recipe. None: that of the folder.
    """

    library: str | None = None
    model: str | None = None
    weights: Path | None = None
    data: str | None = None
    data_dir: Path | None = None
    shape: tuple[int, ...] | None = None
    name: str | None = None


def project_files(options: ProjectOptions, folder: Path) -> dict[str, str]:
    """Return the content of each file of a new project in ``folder``, by file name.

    Raises:
        InputError: The library network, the data folder or the user's network cannot be used.
    """
    network = None if options.library is None else network_source.library_network(options.library)
    source = _data(options, network)
    sample = options.shape[1:] if options.shape else source.sample if source else None
    if sample is None:
        raise InputError("--data needs --input, the shape of the network's input: 1,3,224,224")
    classes = source.classes if source else _CLASSES
    files = {RECIPE: _recipe(options, folder, source, (1, *sample))}
    if options.model is None:
        files[MODEL] = network.code(sample, classes) if network else network_source.small_network(sample, classes)
    if source is not None:
        files[DATA] = source.code
    return files


def write(files: Mapping[str, str], folder: Path, *, force: bool) -> None:
    """Write ``files`` into ``folder``.

    Raises:
        InputError: A file exists, and ``force`` is false.
        OSError: A file cannot be written.
    """
    existing = [name for name in files if (folder / name).exists()]
    if existing and not force:
        raise InputError(
            f"{folder} already has {', '.join(existing)}: choose another folder with --output, or add --force"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_atomic(folder / name, content)


def _data(options: ProjectOptions, network: LibraryNetwork | None) -> DataSource | None:
    """Return the data of ``data.py``; None if the user names a data function."""
    if options.data is not None:
        return None
    sample = options.shape[1:] if options.shape else None
    if options.data_dir is None:
        return data_source.random_samples(sample or (network.sample if network else None), _classes(options))
    if network is None:
        return data_source.of_path(options.data_dir, sample)
    return data_source.of_path(options.data_dir, sample, default=network.sample, mean=network.mean, std=network.std)


def _classes(options: ProjectOptions) -> int:
    """Return the number of outputs of the user's network, for random samples; 10 for other networks.

    Raises:
        ModelError: The network cannot be created, or fails on its input.
    """
    if options.model is None or options.shape is None:
        return _CLASSES
    from edgeprune.model import network

    built = network.load_model(options.model, None, base=Path.cwd(), shape=options.shape)
    outputs = network.check_forward(built, network.example_inputs(options.shape))
    shape: tuple[int, ...] = tuple(getattr(outputs, "shape", ()))
    return int(shape[1]) if len(shape) > 1 else _CLASSES


def _recipe(options: ProjectOptions, folder: Path, source: DataSource | None, shape: tuple[int, ...]) -> str:
    data_dir = source.folder if source else options.data_dir
    weights = '# weights = "weights.safetensors" # trained weights: save_file(model.state_dict(), ...) of safetensors'
    text = filled(
        RECIPE,
        name=_quoted(options.name or _name(folder)),
        factory=_quoted(f"{MODEL}:build" if options.model is None else _spec(options.model, folder)),
        weights=weights if options.weights is None else f"weights = {_quoted(_path(options.weights, folder))}",
        input=list(shape),
        function=_quoted(f"{DATA}:load" if options.data is None else _spec(options.data, folder)),
        dir='# dir = "photos" # folder that is passed to the function'
        if data_dir is None
        else f"dir = {_quoted(_path(data_dir, folder))} # folder that is passed to the function",
    )
    _ = Recipe.parse(parse_toml(text), folder=folder, where="the command line")
    return text


def _quoted(text: str) -> str:
    """Return ``text`` as a string of TOML, whose escapes are those of JSON."""
    return json.dumps(text, ensure_ascii=False)


def _name(folder: Path) -> str:
    """Return the name of the recipe for the name of its folder."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-._") or "project"


def _spec(spec: str, folder: Path) -> str:
    """Return ``spec`` with its file relative to ``folder``."""
    if is_onnx_file(spec):
        return _path(Path(spec), folder)
    source, colon, name = spec.rpartition(":")
    return f"{_path(Path(source), folder)}{colon}{name}" if source.endswith(".py") else spec


def _path(path: Path, folder: Path) -> str:
    """Return ``path`` relative to ``folder`` if both are in the working folder, and otherwise as an absolute path."""
    path, working_folder = path.expanduser().resolve(), Path.cwd().resolve()
    if path.is_relative_to(working_folder) and folder.resolve().is_relative_to(working_folder):
        return Path(os.path.relpath(path, folder.resolve())).as_posix()
    return path.as_posix()
