"""Base class of all parts of a manifest."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from edgeprune.bundle import bundle_paths

Figure = Annotated[float, Field(ge=-1e100, le=1e100)]
"""A finite number that stays finite when a report scales it or takes differences."""
Count = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


def _check_inside(path: str) -> str:
    if not bundle_paths.is_inside(path):
        raise ValueError("it must be the relative path of a file inside the bundle")
    return path


RelativePath = Annotated[str, AfterValidator(_check_inside)]
"""Path of a file, relative to the folder of its bundle and inside it."""


class ManifestPart(BaseModel):
    """Immutable base class; keys that later versions add to schema 1 are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)
