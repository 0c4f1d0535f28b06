"""Parser of untrusted JSON, with error messages for values that violate the schema."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from edgeprune import safe_json
from edgeprune.bundle import bundle_paths
from edgeprune.errors import BundleError

_MOST_SHOWN = 20

_Model = TypeVar("_Model", bound=BaseModel)


def parse(model: type[_Model], content: bytes, *, where: Path | str) -> _Model:
    """Parse the text of a file of a bundle.

    Args:
        model: Pydantic model of the result.
        content: Text of the file.
        where: Path of the file, for messages.

    Raises:
        BundleError: The text is damaged or has a newer schema. The message names the keys.
    """
    try:
        return model.model_validate(safe_json.loads(content))
    except ValidationError as problems:
        raise BundleError(f"{where} is not valid: {described(problems)}") from None
    except ValueError as problem:
        raise BundleError(f"{where} cannot be read: {problem}") from problem


def described(problems: ValidationError) -> str:
    """Return a sentence with the first problems and their keys."""
    errors = problems.errors(include_url=False, include_input=False)
    lines = [
        f"{bundle_paths.printable('.'.join(map(str, error['loc'])))}: {error['msg']}" for error in errors[:_MOST_SHOWN]
    ]
    more = [f"and {len(errors) - _MOST_SHOWN} more"] if len(errors) > _MOST_SHOWN else []
    return "; ".join([*lines, *more])
