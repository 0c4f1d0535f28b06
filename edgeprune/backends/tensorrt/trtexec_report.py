"""Parser for the layer times of an engine that trtexec exports (``--exportProfile``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgeprune import safe_json
from edgeprune.errors import DeviceError


@dataclass(frozen=True)
class LayerTime:
    """Time of a layer in a profile.

    Attributes:
        name: Name of the fused layer, such as ``/conv1/Conv + /act1/Relu``.
        mean_ms: Mean time for one inference in milliseconds.
        median_ms: Median time for one inference in milliseconds; None in files of older releases.
        fraction: Fraction of the time of all layers, 0..1.
    """

    name: str
    mean_ms: float
    median_ms: float | None
    fraction: float


def read_profile(content: str | Sequence[Any]) -> list[LayerTime]:
    """Parse the output of ``--exportProfile``, given as text or as parsed JSON.

    Raises:
        DeviceError: The output is truncated or has another format.
    """
    with _Reading():
        entries = _parsed(content, list)
        return [
            LayerTime(
                name=_text(entry["name"]),
                mean_ms=_number(entry["averageMs"]),
                median_ms=_number(entry["medianMs"]) if "medianMs" in entry else None,
                fraction=_number(entry["percentage"]) / 100,
            )
            for entry in entries
            if "count" not in entry or "name" in entry  # the first entry is the number of inferences
        ]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {value!r:.80}")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value < float("inf"):
        raise TypeError(f"expected a time or a fraction, got {value!r:.80}")
    return float(value)


def _parsed(content: Any, kind: type[Any]) -> Any:
    parsed = safe_json.loads(content, unique_keys=False) if isinstance(content, str) else content
    if not isinstance(parsed, kind):
        raise TypeError(f"expected a {kind.__name__}, got {parsed!r:.80}")
    return parsed


class _Reading:
    """Context manager that converts errors inside it into a DeviceError that names the export."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, problem: BaseException | None, _trace: object) -> None:
        if isinstance(problem, (ValueError, TypeError, KeyError, AttributeError)):
            raise DeviceError(f"invalid output of trtexec --exportProfile: {problem!r}") from problem
