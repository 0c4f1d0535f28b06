"""Results of the stages that load and examine the dense network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeprune.pipeline.stage_result import ResultFile, StageResult


@dataclass(frozen=True, kw_only=True)
class LoadResult(StageResult):
    """Network, weights and data were loaded and checked.

    Attributes:
        samples: Number of samples by split.
        settings: Settings of the recipe that they follow from.
        inputs: SHA-256 of code, weights and data, by name; None for an input that does not exist.
    """

    samples: Mapping[str, int]
    settings: Mapping[str, Any]
    inputs: Mapping[str, str | None]


@dataclass(frozen=True, kw_only=True)
class PreflightResult(StageResult):
    """The target supports the dense network.

    Attributes:
        dense: The dense network as the backend's float32 file.
        probe: The file that the footprint of the dense network is taken of.
        file_bytes: Size of the dense ONNX file.
        least_memory_bytes: Memory that every runtime needs at least, see ``export.preflight``.
        remarks: Warnings about slow operators or settings.
    """

    dense: ResultFile
    probe: ResultFile
    file_bytes: int
    least_memory_bytes: int
    remarks: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CaptureResult(StageResult):
    """The dense network was captured as one graph.

    Attributes:
        calls: Number of calls in it.
        dynamic_batch: Whether it takes any batch size.
    """

    calls: int
    dynamic_batch: bool


@dataclass(frozen=True, kw_only=True)
class GroupResult(StageResult):
    """Groups of the network.

    Attributes:
        groups: Number of groups.
        units: Number of units in all of them.
        prunable_units: Number of units that may be removed.
        frozen: Groups that stay whole, with the reason.
    """

    groups: int
    units: int
    prunable_units: int
    frozen: tuple[tuple[str, str], ...]
