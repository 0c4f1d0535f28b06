"""Result of a recipe's data function, and checks of it that run before anything else."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgeprune.errors import DataError, ModelError
from edgeprune.model.batches import Batch
from edgeprune.model.class_labels import IGNORED, check_shape
from edgeprune.model.dataset_split import DatasetSplit
from edgeprune.model.splits import Augment, Split, TensorSplit
from edgeprune.model.user_code_guard import user_code
from edgeprune.model.user_objects import load_object

__all__ = [
    "Augment", "Batch", "Data", "DatasetSplit", "Split", "TensorSplit", "as_data", "check", "check_batch", "load",
]  # fmt: skip

_ROLES = ("train", "validation", "test")
_CHECKED_SAMPLES = 256


@dataclass(frozen=True, kw_only=True)
class Data:
    """A data set.

    Attributes:
        train: Samples for training.
        validation: Samples for every choice, such as the best epoch.
        test: Samples for the final evaluation. None: the validation split is used.
        classes: Class names by label; empty if unknown.
    """

    train: Split
    validation: Split
    test: Split | None = None
    classes: tuple[str, ...] = ()

    def splits(self) -> dict[str, Split]:
        """Return the existing splits, by role."""
        named = {role: getattr(self, role) for role in _ROLES}
        return {role: split for role, split in named.items() if split is not None}


def load(function: str, *, base: Path, folder: Path | None = None) -> Data:
    """Call the data function that ``function`` names (see ``user_objects.load_object``).

    Args:
        function: Name of a function that returns ``Data``, or a value that ``as_data`` accepts.
        base: Folder that file names are relative to.
        folder: Only argument of the function. None: it is called without arguments.

    Raises:
        DataError: The function does not accept the arguments, fails, or returns another type.
    """
    load_splits = load_object(function, base=base, error=DataError)
    arguments = () if folder is None else (folder,)
    try:
        inspect.signature(load_splits).bind(*arguments)
    except (TypeError, ValueError) as problem:
        called = "with the data folder as its only argument" if arguments else "without arguments (no data.dir is set)"
        raise DataError(f"the data function {function} cannot be called {called}: {problem}") from problem
    with user_code(f"the data function {function} fails", DataError):
        return as_data(load_splits(*arguments), where=function)


def as_data(loaded: Any, *, where: str = "the data function") -> Data:
    """Return a ``Data`` unchanged, or create one from a dict.

    Args:
        loaded: ``{"train": ..., "validation": ..., "test": ...}``, each a map-style ``torch.utils.data.Dataset``
            of (input, label) or a ``Split``; "test" is optional.
        where: Origin of the value, for messages.

    Raises:
        DataError: The value is neither, or a split is missing.
    """
    if isinstance(loaded, Data):
        return loaded
    if not isinstance(loaded, Mapping):
        raise DataError(
            f"{where} must return edgeprune.Data or a dict of data sets with the keys {', '.join(_ROLES)}; "
            f"got {type(loaded).__name__}"
        )
    unknown = [str(key) for key in loaded if key not in _ROLES]
    missing = [role for role in _ROLES[:2] if loaded.get(role) is None]
    if unknown or missing:
        raise DataError(
            f"{where} must return a dict with train, validation and optionally test, "
            f"got {', '.join(map(str, loaded)) or 'no keys'}"
        )
    splits = {role: _as_split(value) for role, value in loaded.items() if value is not None}
    names = getattr(loaded["train"], "classes", ())
    return Data(**splits, classes=tuple(map(str, names)) if isinstance(names, (list, tuple)) else ())


def check(data: Data, outputs: Any, *, sample: tuple[int, ...] | None = None, classes: bool = True) -> None:
    """Check that ``data`` fits the network before work on it starts.

    All labels of a ``TensorSplit`` are checked, and the first samples of other splits. Evaluation and training check
    the other samples when they read them.

    Args:
        data: Data to check.
        outputs: Outputs of the network for an example: (N, classes, ...), for labels (N, ...).
        sample: Shape of one sample of that example, without the batch. None: shapes are not compared.
        classes: Whether labels are classes and outputs their logits. Otherwise, a user-defined loss interprets them.

    Raises:
        DataError: A split is empty, samples or labels have the wrong shape, labels are out of range, or inputs are not
            finite.
        ModelError: ``outputs`` are not logits.
    """
    if classes and (not isinstance(outputs, Tensor) or outputs.ndim < 2):
        actual = f"shape {tuple(outputs.shape)}" if isinstance(outputs, Tensor) else type(outputs).__name__
        raise ModelError(
            f"a network with class labels must return one tensor (N, classes, ...), got {actual}: for other outputs "
            "set training.loss and training.metric"
        )
    for role, split in data.splits().items():
        if len(split) == 0:
            raise DataError(f"the {role} split is empty: it must have at least one sample")
        if classes and isinstance(split, TensorSplit):
            _check_labels(split.labels, outputs.shape[1], where=f"the {role} split")
        inputs, labels = next(iter(split.batches(min(_CHECKED_SAMPLES, len(split)))))
        if not isinstance(inputs, Tensor):
            raise DataError(f"inputs of the {role} split must be one tensor, got {type(inputs).__name__}")
        if sample is not None and tuple(inputs.shape[1:]) != sample:
            raise DataError(
                f"samples of the {role} split have the shape {tuple(inputs.shape[1:])}, but the network needs "
                f"{sample}: change the data, or the input (model.input in a recipe, or --input)"
            )
        if classes:
            if not isinstance(labels, Tensor) or labels.is_floating_point():
                actual = str(labels.dtype) if isinstance(labels, Tensor) else type(labels).__name__
                raise DataError(
                    f"labels of the {role} split must be a tensor of integers, got {actual}: for "
                    "other labels set training.loss or training.step, and training.metric"
                )
            check_shape(labels.shape, (len(inputs), *outputs.shape[1:]), where=f"the {role} split")
            _check_labels(labels, outputs.shape[1], where=f"the {role} split")
        _check_finite(inputs, where=f"the {role} split")


def check_batch(inputs: Tensor, labels: Tensor, classes: int, *, where: str) -> None:
    """Raise DataError for labels that are neither in 0..classes-1 nor ``IGNORED``, and inputs that are not finite."""
    _check_labels(labels, classes, where=where)
    _check_finite(inputs, where=where)


def _check_finite(inputs: Tensor, *, where: str) -> None:
    finite = torch.isfinite(inputs).flatten(1).all(1)
    if not bool(finite.all()):
        bad = (~finite).nonzero().flatten()
        raise DataError(
            f"{where}: {len(bad)} of {len(inputs)} samples of a batch contain NaN or infinity, the first at "
            f"{int(bad[0])}"
        )


def _check_labels(labels: Tensor, classes: int, *, where: str) -> None:
    counted = labels != IGNORED
    outside = (((labels < 0) | (labels >= classes)) & counted).nonzero()
    if len(outside):
        low, high = (int(end) for end in labels[counted].aminmax())
        raise DataError(
            f"{where}: {len(outside)} labels are out of range: got {low} to {high}, allowed are 0 to {classes - 1} for "
            f"{classes} outputs, and {IGNORED} for ignored labels; the first is at "
            f"{', '.join(map(str, outside[0].tolist()))}"
        )


def _as_split(value: Any) -> Split:
    return value if isinstance(value, Split) else DatasetSplit(value)
