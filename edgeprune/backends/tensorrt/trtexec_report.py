"""Times of an engine's layers, as trtexec exports them (``--exportProfile``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgeprune import safe_json
from edgeprune.errors import DeviceError


@dataclass(frozen=True)
class LayerTime:
    """One line of a profile.

    Attributes:
        name: As TensorRT fused it, such as ``/conv1/Conv + /act1/Relu``.
        mean_ms: Of one inference.
        median_ms: Of one inference; None in files of older releases.
        share: Of the time of all layers, 0..1.
    """

    name: str
    mean_ms: float
    median_ms: float | None
    share: float


def read_profile(content: str | Sequence[Any]) -> list[LayerTime]:
    """Read what ``--exportProfile`` wrote, as text or as parsed JSON.

    Raises:
        DeviceError: It is cut off, or something else.
    """
    with _Reading():
        entries = _parsed(content, list)
        return [
            LayerTime(
                name=_text(entry["name"]),
                mean_ms=_number(entry["averageMs"]),
                median_ms=_number(entry["medianMs"]) if "medianMs" in entry else None,
                share=_number(entry["percentage"]) / 100,
            )
            for entry in entries
            if "count" not in entry or "name" in entry  # the first entry is the number of inferences
        ]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value < float("inf"):
        raise TypeError(f"{value!r} is no time or share")
    return float(value)


def _parsed(content: Any, kind: type[Any]) -> Any:
    parsed = safe_json.loads(content, unique_keys=False) if isinstance(content, str) else content
    if not isinstance(parsed, kind):
        raise TypeError(f"a {kind.__name__} is expected, not {parsed!r:.80}")
    return parsed


class _Reading:
    """Turns what goes wrong inside into one error that names the export."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, problem: BaseException | None, _trace: object) -> None:
        if isinstance(problem, (ValueError, TypeError, KeyError, AttributeError)):
            raise DeviceError(f"what trtexec wrote for --exportProfile cannot be read: {problem!r}") from problem
