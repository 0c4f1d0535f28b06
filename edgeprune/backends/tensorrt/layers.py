"""What trtexec exports of an engine's layers: times (``--exportProfile``), descriptions (``--exportLayerInfo``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgeprune import json_text
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


@dataclass(frozen=True)
class Tensor:
    """What a layer reads or writes, or an input or output of the engine.

    Attributes:
        name: As in the engine.
        shape: -1 where it is open; None where the file does not tell.
        datatype: Such as ``Float``; None before TensorRT 11, which tells it only inside ``layout``.
        layout: Memory format, in TensorRT's words.
    """

    name: str
    shape: tuple[int, ...] | None = None
    datatype: str | None = None
    layout: str | None = None


@dataclass(frozen=True)
class Layer:
    """One layer of an engine. All but the name needs an engine that was built with detailed verbosity.

    Attributes:
        name: As TensorRT fused it.
        kind: ``LayerType``, such as ``CaskConvolution`` or ``Reformat``.
        inputs: What it reads.
        outputs: What it writes.
        weights: Type of its weights, such as ``Int8``.
        tactic: Name of the kernel.
    """

    name: str
    kind: str | None = None
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    weights: str | None = None
    tactic: str | None = None


@dataclass(frozen=True)
class EngineLayers:
    """An engine's layers in the order they run, and its inputs and outputs."""

    layers: tuple[Layer, ...]
    bindings: tuple[Tensor, ...] = field(default=())

    @property
    def reformats(self) -> tuple[Layer, ...]:
        """Layers that only change type or memory format: time that a better placement of Q/DQ saves."""
        return tuple(
            layer for layer in self.layers if layer.kind == "Reformat" or layer.name.startswith("Reformatting CopyNode")
        )


def read_profile(content: str | Sequence[Any]) -> list[LayerTime]:
    """Read what ``--exportProfile`` wrote, as text or as parsed JSON.

    Raises:
        DeviceError: It is cut off, or something else.
    """
    with _Reading("--exportProfile"):
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


def read_layers(content: str | Mapping[str, Any]) -> EngineLayers:
    """Read what ``--exportLayerInfo`` wrote, as text or as parsed JSON, up to TensorRT 10 and from 11 on.

    Raises:
        DeviceError: It is cut off, or something else.
    """
    with _Reading("--exportLayerInfo"):
        values = _parsed(content, dict)
        # TensorRT 11 put objects in "I/O Tensors" in the place of the names in "Bindings".
        bindings = values["I/O Tensors"] if "I/O Tensors" in values else values.get("Bindings", [])
        return EngineLayers(
            tuple(_layer(entry) for entry in values["Layers"]), tuple(_tensor(entry) for entry in bindings)
        )


def _layer(entry: str | Mapping[str, Any]) -> Layer:
    if isinstance(entry, str):  # verbosity layer_names_only
        return Layer(entry)
    weights = entry.get("Weights")
    return Layer(
        name=_text(entry["Name"]),
        kind=_optional(entry, "LayerType"),
        inputs=tuple(_tensor(tensor) for tensor in entry.get("Inputs", [])),
        outputs=tuple(_tensor(tensor) for tensor in entry.get("Outputs", [])),
        weights=_optional(weights, "Type") if weights else None,
        tactic=_optional(entry, "TacticName"),
    )


def _tensor(entry: str | Mapping[str, Any]) -> Tensor:
    if isinstance(entry, str):
        return Tensor(entry)
    shape = entry.get("Dimensions")
    return Tensor(
        name=_text(entry["Name"]),
        shape=None if shape is None else tuple(int(size) for size in shape),
        datatype=_optional(entry, "DataType", "Datatype"),
        layout=_optional(entry, "Format", "Format/Datatype"),
    )


def _optional(entry: Mapping[str, Any], *names: str) -> str | None:
    return next((_text(entry[name]) for name in names if name in entry), None)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value < float("inf"):
        raise TypeError(f"{value!r} is no time or share")
    return float(value)


def _parsed(content: Any, kind: type[Any]) -> Any:
    parsed = json_text.loads(content, unique_keys=False) if isinstance(content, str) else content
    if not isinstance(parsed, kind):
        raise TypeError(f"a {kind.__name__} is expected, not {parsed!r:.80}")
    return parsed


class _Reading:
    """Turns what goes wrong inside into one error that names the export."""

    def __init__(self, option: str) -> None:
        self._option = option

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, problem: BaseException | None, _trace: object) -> None:
        if isinstance(problem, (ValueError, TypeError, KeyError, AttributeError)):
            raise DeviceError(f"what trtexec wrote for {self._option} cannot be read: {problem!r}") from problem
