"""What all parts of a manifest are."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """Immutable; a reader of schema 1 skips keys that a later writer of schema 1 added."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)
