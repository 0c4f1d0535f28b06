"""Base class of stage results, which are stored as JSON next to the files of their stage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import AfterValidator, PlainSerializer, TypeAdapter, ValidationInfo

if TYPE_CHECKING:
    from typing_extensions import Self

_FOLDER = "folder"

ResultT = TypeVar("ResultT", bound="StageResult")


def _in_folder(file: Path, info: ValidationInfo) -> Path:
    return Path(info.context[_FOLDER] if info.context else "") / file


ResultFile = Annotated[Path, AfterValidator(_in_folder), PlainSerializer(lambda file: Path(file).name)]
"""File in the folder of the result; only its name is stored."""


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """Result of one stage.

    Attributes:
        locked: Whether a measured value in the lock file decided the result.
    """

    locked: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values, with files as names."""
        values: dict[str, Any] = self._adapter().dump_python(self, mode="json")
        return values

    @classmethod
    def from_json(cls, values: Any, folder: Path) -> Self:
        """Return the result from JSON values; its files are in ``folder``.

        Raises:
            ValueError: A value is missing or of another type.
        """
        return cls._adapter().validate_python(values, context={_FOLDER: folder})

    @classmethod
    def _adapter(cls) -> TypeAdapter[Self]:
        if cls not in _adapters:
            _adapters[cls] = TypeAdapter(cls)
        adapter: TypeAdapter[Self] = _adapters[cls]
        return adapter


_adapters: dict[type[StageResult], TypeAdapter[Any]] = {}
