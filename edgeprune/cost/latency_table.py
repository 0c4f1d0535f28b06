"""Latency tables, ``targets/tables/*.json``: measured latencies of layers on a target over a grid of channel counts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion
from pydantic import Field, TypeAdapter, ValidationError

from edgeprune import input_files, safe_json
from edgeprune.config import Target, file_lookup
from edgeprune.cost.layer_shapes import CostLayer, LayerShape
from edgeprune.errors import TargetError

SCHEMA = 1
_MOST_MS = 1e9
_MOST_COUNT = 1 << 31
_Count = Annotated[int, Field(ge=1, le=_MOST_COUNT)]
_Ms = Annotated[float, Field(ge=0, le=_MOST_MS)]
_Difference = Annotated[float, Field(ge=-_MOST_MS, le=_MOST_MS)]


@dataclass(frozen=True)
class Grid:
    """Measured latencies of one layer shape.

    Attributes:
        shape: Shape of the layer.
        into: Numbers of input channels, in ascending order.
        out: Numbers of output channels, in ascending order.
        ms: Latency in milliseconds for each pair, (into, out).
    """

    shape: LayerShape
    into: tuple[_Count, ...]
    out: tuple[_Count, ...]
    ms: tuple[tuple[_Ms, ...], ...]

    def check(self, where: Path | str) -> None:
        """Raise TargetError if the channel counts are not ascending from 1, or a pair of them has no latency."""
        rising = all(
            steps and steps[0] >= 1 and all(one < other for one, other in pairwise(steps))
            for steps in (self.into, self.out)
        )
        complete = len(self.ms) == len(self.into) and all(len(row) == len(self.out) for row in self.ms)
        if not (rising and complete):
            raise TargetError(f"{where} is not a valid latency table: its grid of {self.shape} is incomplete")


@dataclass(frozen=True)
class RemainderLatency:
    """Latency of one dense network beyond its layers; scaled with the bytes of activations that remain.

    Attributes:
        network: Name of the network.
        fingerprint: Fingerprint of the layers of the network.
        measured_ms: Measured latency of the dense network in milliseconds.
        rest_ms: ``measured_ms`` without the latency of an empty model and of the layers, in milliseconds.
    """

    network: str
    fingerprint: str
    measured_ms: _Ms
    rest_ms: _Difference


@dataclass(frozen=True)
class LatencyTable:
    """Latency measurements of a target.

    Attributes:
        target: Name of the target.
        device: URI of the device (``uri``) and the description that the device reports.
        runtime: Name of the runtime.
        runtime_version: Version of the runtime that the device reports.
        threads: Number of threads of one inference.
        date: Date of the measurement, ISO 8601.
        floor_ms: Latency of an empty model in milliseconds.
        alignment: Multiples of (in, out) channels at which latency decreases, by kind of layer. 1 means no alignment.
        grids: Latencies by shape of layer.
        rests: Latency beyond the layers, by network.
        schema: Version of the file format.
    """

    target: str
    device: Mapping[str, Any]
    runtime: str
    runtime_version: str
    threads: _Count
    date: str
    floor_ms: _Ms
    alignment: Mapping[str, tuple[_Count, _Count]]
    grids: tuple[Grid, ...]
    rests: tuple[RemainderLatency, ...]
    schema: int = SCHEMA

    def grid(self, layer: CostLayer) -> Grid:
        """Return the grid of the shape of ``layer``.

        Raises:
            TargetError: The table does not contain the shape.
        """
        for grid in self.grids:
            if grid.shape == layer.shape:
                return grid
        raise TargetError(
            f"the latency table of {self.target} has no layer like {layer.name} ({layer.shape.kind}, "
            f"{layer.shape.channels[0]} -> {layer.shape.channels[1]} channels, positions {layer.shape.positions}): "
            f"measure this network with 'edgeprune calibrate --target {self.target}'"
        )

    def remainder(self, layers: Sequence[CostLayer]) -> RemainderLatency:
        """Return the latency, beyond the layers, of the dense network with these ``layers``.

        Raises:
            TargetError: The table does not contain the network.
        """
        expected = fingerprint(layers)
        for remainder in self.rests:
            if remainder.fingerprint == expected:
                return remainder
        available = ", ".join(remainder.network for remainder in self.rests) or "none"
        raise TargetError(
            f"the latency table of {self.target} was measured for other networks ({available}): "
            f"measure this network with 'edgeprune calibrate --target {self.target}'"
        )

    def joined(self, older: LatencyTable) -> LatencyTable:
        """Return this table with the entries that only ``older`` has, if both were measured in the same way."""
        same = ("target", "runtime", "runtime_version", "threads", "device")
        if any(getattr(self, name) != getattr(older, name) for name in same):
            return self
        shapes = {grid.shape for grid in self.grids}
        networks = {remainder.fingerprint for remainder in self.rests}
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["alignment"] = {**older.alignment, **self.alignment}
        values["grids"] = (*self.grids, *(grid for grid in older.grids if grid.shape not in shapes))
        values["rests"] = (
            *self.rests,
            *(remainder for remainder in older.rests if remainder.fingerprint not in networks),
        )
        return LatencyTable(**values)

    def to_json(self) -> str:
        """Return the table as JSON text."""
        return json.dumps(asdict(self), separators=(",", ":"), allow_nan=False) + "\n"

    @staticmethod
    def load(path: Path) -> LatencyTable:
        """Read the table in the file ``path``.

        Raises:
            TargetError: The file cannot be read, is not a latency table, or has another schema version.
        """
        where = file_lookup.display_path(path)
        try:
            return LatencyTable.from_json(input_files.read_bytes(path), where=where)
        except OSError as problem:
            raise TargetError(f"cannot read the latency table {where}: {problem.strerror}") from problem

    @staticmethod
    def from_json(text: str | bytes, *, where: Path | str) -> LatencyTable:
        """Read a table from the text that ``to_json`` returns.

        Raises:
            TargetError: The text is not a latency table, or has another schema version.
        """
        try:
            values = safe_json.loads(text)
            if values["schema"] != SCHEMA:
                raise TargetError(
                    f"{where}: expected a latency table of schema {SCHEMA}, got schema {values['schema']}"
                )
            table = _reader().validate_json(text, strict=True)
        except ValidationError as problems:
            first = problems.errors(include_url=False)[0]
            key = ".".join(map(str, first["loc"]))
            raise TargetError(
                f"{where} is not a valid latency table: {key}: {first['msg']}, got {first['input']!r:.80}; "
                "measure it again with 'edgeprune calibrate'"
            ) from None
        except (ValueError, TypeError, KeyError) as problem:
            raise TargetError(f"{where} is not a valid latency table: {problem!r}") from problem
        for grid in table.grids:
            grid.check(where)
        return table


def fingerprint(layers: Sequence[CostLayer]) -> str:
    """Return a fingerprint that is equal for networks with the same layers in the same order."""
    return hashlib.sha256(repr([layer.shape for layer in layers]).encode()).hexdigest()[:16]


def load_table(target: Target, path: Path | None = None, *, installed: str | None = None) -> LatencyTable:
    """Read the latency table of ``target``.

    Args:
        target: Target of the table.
        path: File of the table. Defaults to the table of the target.
        installed: Version of the runtime of the target on this machine. None if it is not installed.

    Raises:
        TargetError: The table is missing, is damaged, or was measured for another target, runtime, number of threads or
            version of the runtime.
    """
    path = path or target.require_latency_table()
    table = LatencyTable.load(path)
    cores = table.device.get("cores", table.threads)
    expected = {
        "target": target.name,
        "runtime": target.runtime.name,
        "threads": min(target.runtime.threads or cores, cores),
    }
    wrong = [
        f"{name} {getattr(table, name)} (expected {value})"
        for name, value in expected.items()
        if getattr(table, name) != value
    ]
    versions = allowed_versions(target, installed)
    if not is_version_in(versions, table.runtime_version):
        wrong.append(f"{table.runtime} {table.runtime_version} (expected {versions})")
    if wrong:
        raise TargetError(
            f"the latency table {file_lookup.display_path(path)} was measured with {', '.join(wrong)}; "
            f"measure again with 'edgeprune calibrate --target {target.name}'"
        )
    return table


def allowed_versions(target: Target, installed: str | None) -> SpecifierSet:
    """Return the versions of the runtime with which a latency table of ``target`` may have been measured.

    These are the versions that the target allows. A target without an architecture is this machine, whose runtime is
    the installed one.
    """
    versions = target.runtime.versions
    if versions or target.hardware.architecture is not None or installed is None:
        return SpecifierSet(versions)
    return SpecifierSet(f"=={installed}")


def is_version_in(versions: SpecifierSet, version: object) -> bool:
    """Return whether ``version`` is in ``versions``. Without any specifier, each text is accepted."""
    try:
        return not versions or versions.contains(str(version), prereleases=True)
    except InvalidVersion:
        return False


@cache
def _reader() -> TypeAdapter[LatencyTable]:
    return TypeAdapter(LatencyTable)
