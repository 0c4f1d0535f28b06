"""Base of every settings class: immutable and strict, with errors that name the file, the key and the remedy."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from edgeprune import input_files, safe_json
from edgeprune.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_Model = TypeVar("_Model", bound=BaseModel)
_MAX_TOML_BYTES = 1 << 20
_EXPECTED_TYPES = {
    "bool_type": "true or false",
    "float_type": "a number",
    "int_type": "a whole number",
    "string_type": "text",
    "tuple_type": "a list",
    "mapping_type": "a table",
    "model_type": "a table",
    "dict_type": "a table",
}
"""Expected types of TOML, by the type of pydantic's error."""


def _is_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
        raise ValueError("letters, digits, '.', '_' and '-', first a letter or digit: it is part of file names")
    return value


Name = Annotated[str, AfterValidator(_is_name)]


class Settings(BaseModel):
    """Immutable settings. A TOML value of the wrong type is an error; it is not converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def read_toml(path: Path, error: type[InputError]) -> dict[str, Any]:
    """Read a TOML file; ``error`` names the file and, for a syntax error, the line."""
    try:
        return parse_toml(input_files.read_text(path, max_bytes=_MAX_TOML_BYTES))
    except OSError as problem:
        raise error(f"cannot read {path}: {problem.strerror}") from problem
    except ValueError as problem:
        raise error(f"{path} is not valid TOML: {problem}") from problem


def toml_value(text: str) -> Any:
    """Read ``text`` as one TOML value (``0.5``, ``true``, ``["a.*"]``); other text is a plain string.

    Raises:
        ValueError: The text is TOML that is nested too deeply, or contains an integer of more than 64 bits.
    """
    try:
        values = parse_toml(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return values["value"] if len(values) == 1 else text


def parse_toml(text: str) -> dict[str, Any]:
    """Return the tables of ``text``, with the limits of ``safe_json`` on depth and integers.

    Raises:
        ValueError: The text is not TOML, or exceeds a limit.
    """
    if len(text) > _MAX_TOML_BYTES:
        raise ValueError(f"it has {len(text):,} characters, but the limit is {_MAX_TOML_BYTES:,}")
    try:
        tables = tomllib.loads(text)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {safe_json.MAX_DEPTH} levels") from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError as problem:  # int() limits its digits, datetime its ranges
        raise ValueError(str(problem).partition(";")[0]) from problem
    safe_json.check_depth(tables)
    _check_integers(tables)
    return tables


def _check_integers(value: Any) -> None:
    if isinstance(value, int):
        safe_json.check_integer(value)
    elif isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            _check_integers(inner)


def validate(model: type[_Model], values: Mapping[str, Any], *, where: str, error: type[InputError]) -> _Model:
    """Create ``model`` from ``values``; raise one ``error`` with a line for each problem.

    ``where`` names the origin of the values in the message: a file, or the command line.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as problems:
        raise error(error_text(problems, model, where)) from None


def error_text(problems: ValidationError, model: type[BaseModel], where: str) -> str:
    """Return one line for each wrong key of ``model``; ``where`` names the origin of its values.

    A value that fits no alternative of a union has one problem for each alternative; they share a line.
    """
    by_key: dict[str, list[ErrorDetails]] = {}
    for problem in problems.errors():
        by_key.setdefault(_key(problem, model), []).append(problem)
    return "\n".join(_line(key, of_key, model, where) for key, of_key in by_key.items())


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield every dotted key of ``model``, tables before their keys: ``training``, ``training.epochs``, ...

    ``*`` is a placeholder for a name that the user chooses: ``budget.targets.*.macs``.
    """
    for name, field in model.model_fields.items():
        if field.exclude:
            continue
        yield prefix + name
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from keys(inner, f"{prefix}{name}.")
        elif get_origin(inner) is Mapping and isinstance(value := get_args(inner)[1], type(BaseModel)):
            yield f"{prefix}{name}.*"
            yield from keys(value, f"{prefix}{name}.*.")


def nearest(name: str, candidates: list[str], *, cutoff: float = 0.6) -> str | None:
    """Return the candidate most similar to ``name``; None if none is similar."""
    matches = difflib.get_close_matches(name, candidates, n=1, cutoff=cutoff)
    return matches[0] if matches else None


def unknown_key(key: str, model: type[BaseModel], where: str) -> str:
    """Return the message for an unknown key of ``model``, with the most similar key or all keys of its table."""
    available = [other for other in keys(model) if not key.startswith(f"{other}.")]
    near = nearest(key, available)
    if near is None:  # a right name in the wrong table, or without its table
        near = next((other for other in available if other.rpartition(".")[2] == key.rpartition(".")[2]), None)
    message = f"unknown key '{key}' in {where}"
    if near is not None:
        return f"{message}; did you mean '{near}'?"
    table = key.rpartition(".")[0]
    siblings = [other for other in available if other.rpartition(".")[0] == table]
    return f"{message}; allowed here: {', '.join(siblings or available)}"


def _line(key: str, problems: list[ErrorDetails], model: type[BaseModel], where: str) -> str:
    # The deepest alternative is meant: in repair = ["x"], the list and not the text 'auto'.
    problem = max(problems, key=lambda alternative: len(alternative["loc"]))
    alternatives = [other for other in problems if len(other["loc"]) == len(problem["loc"])]
    if problem["type"] == "extra_forbidden":
        return unknown_key(key, model, where)
    if problem["type"] == "missing":
        return f"required key '{key}' is missing in {where}"
    expected = ", or ".join(dict.fromkeys(map(_expected, alternatives)))
    location = f"'{key}' in {where}" if key else where
    return f"{location}: got {_value_text(problem['input'])}, must be {expected}"


def _expected(problem: ErrorDetails) -> str:
    """Return what was expected, as the object of "must be"."""
    by_type = _EXPECTED_TYPES.get(problem["type"])
    return by_type or problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")


def _key(problem: ErrorDetails, model: type[BaseModel]) -> str:
    """Return the dotted key of a problem, without the names that pydantic adds for members of a union."""
    available = set(keys(model))
    path = general = ""
    for part in problem["loc"]:
        step = f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
        is_value = general in available and not any(other.startswith(general + ".") for other in available)
        if is_value and not isinstance(part, int):
            break
        path += step
        general += ".*" if f"{general}.*" in available else step
    return path


def _value_text(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
