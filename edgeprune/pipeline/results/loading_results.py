"""Results of the stages that load and examine the dense network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeprune.pipeline.stage_result import ResultFile, StageResult


@dataclass(frozen=True, kw_only=True)
class LoadResult(StageResult):
    """Loaded and checked network, weights and data.

    Attributes:
        samples: Number of samples by split.
        settings: Settings of the recipe that network and data depend on.
        inputs: SHA-256 of code, weights and data, by name; None for an input that does not exist.
    """

    samples: Mapping[str, int]
    settings: Mapping[str, Any]
    inputs: Mapping[str, str | None]


@dataclass(frozen=True, kw_only=True)
class PreflightResult(StageResult):
    """Result of the check that the target supports the dense network.

    Attributes:
        dense: float32 file of the dense network in the format of the backend.
        probe: File that the footprint of the dense network is computed from.
        file_bytes: Size of the dense ONNX file in bytes.
        least_memory_bytes: Minimum memory of every runtime in bytes; see ``export.preflight``.
        remarks: Warnings about slow operators or settings.
    """

    dense: ResultFile
    probe: ResultFile
    file_bytes: int
    least_memory_bytes: int
    remarks: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CaptureResult(StageResult):
    """Dense network captured as one graph.

    Attributes:
        calls: Number of calls in the graph.
        dynamic_batch: Whether the graph accepts any batch size.
    """

    calls: int
    dynamic_batch: bool


@dataclass(frozen=True, kw_only=True)
class GroupResult(StageResult):
    """Groups of units of the network.

    Attributes:
        groups: Number of groups.
        units: Number of units in all of them.
        prunable_units: Number of units that may be removed.
        frozen: Names of the groups that cannot be pruned, with reasons.
    """

    groups: int
    units: int
    prunable_units: int
    frozen: tuple[tuple[str, str], ...]
